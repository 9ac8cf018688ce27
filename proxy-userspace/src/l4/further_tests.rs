//! The programs behind the first one, in a real kernel.

use std::os::fd::AsFd as _;
use std::path::Path;

use proxy_common::checksum;
use proxy_common::drop_reason::DropReason;
use proxy_common::program::Program;

use super::kernel::Kernel;
use super::kernel_tests::{Place, in_a_place};
use super::maps::PerCpu;
use super::pins;
use super::sys::{self, RawMap};
use crate::config::AttachMode;

/// What a program may cost the verifier: half of what the kernel allows.
const MOST_INSTRUCTIONS: u32 = 500_000;
const XDP_DROP: u32 = 1;

/// Arrays of programs that are pinned.
fn arrays(place: &Place) -> Vec<String> {
    let folder = place.config().pin_dir.join(format!("v{}", proxy_common::ABI_VERSION));
    let mut names = pins::entries(&folder);
    names.retain(|name| name.starts_with("PROGRAMS-"));
    names
}

/// Numbers of the programs in an array, by their places.
fn numbers(kernel: &Kernel) -> Vec<u32> {
    let array = sys::open_pin(&kernel.pins.object(&kernel.programs.further)).unwrap();
    let array = RawMap::new(array, 0).unwrap();
    let read = |slot: u32| {
        let mut id = [0; 4];
        assert!(array.lookup(&slot.to_ne_bytes(), &mut id).unwrap(), "there is a program in place {slot}");
        u32::from_ne_bytes(id)
    };
    (0..Program::SLOTS).map(read).collect()
}

/// Drops so far, for a reason.
fn dropped(kernel: &Kernel, reason: DropReason) -> u64 {
    let drops: &PerCpu<u64> = &kernel.tables.drops;
    drops.get(reason.index()).unwrap().iter().sum()
}

/// A SYN to the balanced listener of [`Place::desired`].
fn syn() -> Vec<u8> {
    let mut b = vec![0; 60];
    b[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    b[14..24].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 6]);
    b[26..34].copy_from_slice(&[10, 81, 0, 9, 10, 80, 0, 1]);
    let sum = !checksum::fold(checksum::sum_bytes(&b[14..34]));
    b[24..26].copy_from_slice(&sum.to_ne_bytes());
    b[34..38].copy_from_slice(&[0x75, 0x30, 0, 80]);
    b[46] = 0x50;
    b[47] = 2;
    b
}

/// What becomes of the SYN where the listener has no backend: that is for the program behind the first one to say.
fn refused(program: impl std::os::fd::AsFd, kernel: &Kernel, reason: DropReason) {
    let before = dropped(kernel, reason);
    let (verdict, _) = sys::test_run(program.as_fd(), &syn()).unwrap();
    assert_eq!((verdict, dropped(kernel, reason)), (XDP_DROP, before + 1), "{reason:?}");
}

#[test]
fn every_program_costs_the_verifier_at_most_half_of_what_it_may() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        let mut of_ours = numbers(&kernel);
        let first: [_; 2] = [&kernel.programs.xdp, &kernel.programs.tc];
        of_ours.extend(first.map(|fd| sys::info::<sys::ProgramInfo>(fd.as_fd()).unwrap().id));
        let mut seen = 0;
        // The kernel's list may change while it is read; ours are held, and stay in it.
        for program in aya::programs::loaded_programs().filter_map(Result::ok) {
            if !of_ours.contains(&program.id()) {
                continue;
            }
            let name = program.name_as_str().unwrap_or_default().to_owned();
            let cost = program.verified_instruction_count().expect("Linux 5.16 tells it");
            println!("{name:15} {cost:7} instructions verified, {:6} bytes", program.size_jitted());
            assert!(cost <= MOST_INSTRUCTIONS, "{name}: {cost}");
            seen += 1;
        }
        assert_eq!(seen, of_ours.len());
    });
}

#[test]
fn a_packet_goes_on_in_the_program_behind_the_first() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        kernel.apply(&place.desired(&[])).unwrap();
        refused(&kernel.programs.xdp, &kernel, DropReason::NoBackend);
    });
}

#[test]
fn a_program_jumps_to_those_of_its_own_object_alone() {
    in_a_place(|place| {
        let first = Kernel::open(&place.config()).unwrap();
        first.apply(&place.desired(&[])).unwrap();
        first.keep();
        let (old, old_numbers) = (first.programs.xdp.try_clone().unwrap(), numbers(&first));
        assert_eq!(arrays(place), [first.programs.further.as_str()]);
        drop(first);

        let second = Kernel::open(&place.config()).unwrap();
        second.apply(&place.desired(&[])).unwrap();
        assert!(numbers(&second).iter().all(|number| !old_numbers.contains(number)));
        // Both are there until everything that is attached has the new one.
        assert_eq!(arrays(place).len(), 2);
        refused(&old, &second, DropReason::NoBackend);
        refused(&second.programs.xdp, &second, DropReason::NoBackend);
        second.keep();
        assert_eq!(arrays(place), [second.programs.further.as_str()]);
        refused(&second.programs.xdp, &second, DropReason::NoBackend);

        // What would still be under way in the old one is told apart, and counted.
        let emptied = || {
            let before = dropped(&second, DropReason::ProgramMissing);
            sys::test_run(old.as_fd(), &syn()).unwrap();
            dropped(&second, DropReason::ProgramMissing) > before
        };
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !emptied() {
            assert!(std::time::Instant::now() < until, "the kernel empties the old array");
        }
    });
}

#[test]
fn a_start_that_fails_leaves_the_array_that_is_jumped_by() {
    in_a_place(|place| {
        let first = Kernel::open(&place.config()).unwrap();
        first.apply(&place.desired(&[])).unwrap();
        first.attach(&["out".into()], AttachMode::Auto).unwrap();
        first.keep();
        let (own, pin) = (first.programs.further.clone(), first.pins.link("out"));
        let old = first.programs.xdp.try_clone().unwrap();
        drop(first);
        drop(Kernel::open(&place.config()).unwrap());
        assert_eq!(arrays(place), [own]);
        let second = Kernel::open(&place.config()).unwrap();
        second.attach(&["out".into()], AttachMode::Auto).unwrap();
        drop(second);
        let third = Kernel::open(&place.config()).unwrap();
        refused(&old, &third, DropReason::NoBackend);
        assert!(Path::new(&pin).exists(), "the link has the first program again");
    });
}
