//! A function of the kernel that a program calls by a number of the running kernel's own: it is looked up in the kernel's
//! type information (Documentation/bpf/btf.rst), and written into the object before it is loaded.

use std::fs;

use super::object;

/// The function that makes a socket of a SYN cookie that a program has checked (Linux 6.8).
const ASSIGN: &str = "bpf_sk_assign_tcp_reqsk";
/// What the object has in its place (`proxy-ebpf/src/kernel/socket.rs`).
const PLACE: u32 = 0x706e_6f79;
/// Where the kernel tells its types.
const TYPES: &str = "/sys/kernel/btf/vmlinux";

/// `BPF_JMP | BPF_CALL`
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL`, as the source register.
const OF_THE_KERNEL: u8 = 2 << 4;
/// `BPF_ALU64 | BPF_MOV | BPF_K`
const MOVE: u8 = 0xb7;

/// The object with the call in it, and whether the kernel has the function. Where it has not, the call is a failure.
pub(super) fn patched() -> (Vec<u8>, bool) {
    // A kernel that does not tell its types has no functions to call.
    let id = fs::read(TYPES).ok().and_then(|types| function(&types, ASSIGN));
    let call = match id {
        Some(id) => instruction(CALL, OF_THE_KERNEL, id),
        None => instruction(MOVE, 0, u32::MAX),
    };
    let mut bytes = object::BYTES.to_vec();
    let place = instruction(CALL, 0, PLACE);
    for at in bytes.chunks_exact_mut(8).filter(|chunk| **chunk == place) {
        at.copy_from_slice(&call);
    }
    (bytes, id.is_some())
}

fn instruction(code: u8, registers: u8, immediate: u32) -> [u8; 8] {
    let [a, b, c, d] = immediate.to_le_bytes();
    [code, registers, 0, 0, a, b, c, d]
}

/// The number of a function in type information.
fn function(types: &[u8], name: &str) -> Option<u32> {
    const FUNCTION: u32 = 12;
    let word = |at: usize| Some(u32::from_le_bytes(*types.get(at..)?.first_chunk()?));
    let header = word(4)? as usize;
    let (start, length) = (header.checked_add(word(8)? as usize)?, word(12)? as usize);
    let strings = types.get(header.checked_add(word(16)? as usize)?..)?;
    let (mut at, end) = (start, start.checked_add(length)?);
    for id in 1.. {
        if at >= end {
            break;
        }
        let (named, info) = (word(at)? as usize, word(at + 4)?);
        let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        if kind == FUNCTION && strings.get(named..)?.split(|byte| *byte == 0).next()? == name.as_bytes() {
            return Some(id);
        }
        at += 12 + behind(kind, count);
    }
    None
}

/// Bytes behind a type's head, by its kind.
const fn behind(kind: u32, count: usize) -> usize {
    match kind {
        // Integers, variables, tags of declarations.
        1 | 14 | 17 => 4,
        // Arrays.
        3 => 12,
        // Structures, unions, sections of data, enumerations of 64 bits.
        4 | 5 | 15 | 19 => count * 12,
        // Enumerations, prototypes.
        6 | 13 => count * 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Type information with these types, and names from offset 1 on.
    fn information(types: &[&[u32]], names: &str) -> Vec<u8> {
        let types: Vec<u8> =
            types.iter().flat_map(|words| words.iter().flat_map(|w| w.to_le_bytes())).collect();
        let head = [0x0001_eb9f, 24, 0, types.len() as u32, types.len() as u32, names.len() as u32 + 2];
        let head = head.iter().flat_map(|word: &u32| word.to_le_bytes());
        head.chain(types).chain([0]).chain(names.bytes()).chain([0]).collect()
    }

    #[test]
    fn a_function_is_found_behind_types_of_every_kind() {
        let kinds: [(u32, usize); 7] = [(1, 1), (3, 3), (4, 6), (6, 4), (13, 4), (15, 6), (2, 0)];
        let mut types: Vec<Vec<u32>> = kinds
            .iter()
            .map(|(kind, words)| [vec![0, kind << 24 | 2, 0], vec![0x1234_5678; *words]].concat())
            .collect();
        types.push(vec![1, 4 << 24, 0]);
        types.push(vec![1, 12 << 24, 0]);
        let types: Vec<&[u32]> = types.iter().map(Vec::as_slice).collect();
        let bytes = information(&types, "wanted");
        assert_eq!(function(&bytes, "wanted"), Some(9));
        assert_eq!(function(&bytes, "want"), None);
    }

    #[test]
    fn rubbish_has_no_function() {
        for bytes in [&[][..], &[0xff; 23], &[0xff; 64], &[0; 4096]] {
            assert_eq!(function(bytes, "wanted"), None);
        }
    }

    #[test]
    fn no_stand_in_is_left_in_the_object() {
        let place = instruction(CALL, 0, PLACE);
        let (bytes, _) = patched();
        assert!(object::BYTES.is_empty() || object::BYTES.chunks_exact(8).any(|chunk| *chunk == place));
        assert!(bytes.chunks_exact(8).all(|chunk| *chunk != place));
    }
}
