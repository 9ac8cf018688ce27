//! The kernel programs, as they are embedded in this binary.

/// The object; empty if this binary was built without the BPF toolchain.
pub(super) static BYTES: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/proxy-ebpf.o"));

/// The program that tells the time.
pub(super) const PROGRAM_CLOCK: &str = "proxy_clock";

/// The program that chooses a worker.
pub(super) const PROGRAM_STEER: &str = "proxy_steer";

/// The section that holds the version of the layout.
const ABI_SECTION: &str = "proxy_abi";

/// The version of the layout that the object was built with.
pub(super) fn abi_version() -> Option<u32> {
    let bytes = section(BYTES, ABI_SECTION)?;
    Some(u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// The bytes of a section of a little-endian ELF64 file (System V ABI, "Object Files").
fn section<'a>(elf: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = elf.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    let (table, size) = (number(0x28, 8)?, number(0x3a, 2)?);
    let (count, names) = (number(0x3c, 2)?, number(0x3e, 2)?);
    let header = |index: usize| table.checked_add(index.checked_mul(size)?);
    let contents = |at: usize| {
        let start = number(at.checked_add(0x18)?, 8)?;
        elf.get(start..start.checked_add(number(at.checked_add(0x20)?, 8)?)?)
    };
    let strings = contents(header(names)?)?;
    (0..count).find_map(|index| {
        let at = header(index)?;
        let rest = strings.get(number(at, 4)?..)?;
        let found = rest.split(|byte| *byte == 0).next()? == name.as_bytes();
        found.then(|| contents(at))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_has_no_section() {
        for bytes in [&[][..], &[0x7f; 63], &[0xff; 64], &[0xff; 4096], &[0; 4096]] {
            assert_eq!(section(bytes, ABI_SECTION), None);
        }
    }
}
