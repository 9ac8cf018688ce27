//! bpf(2), as far as aya does not offer it: values of maps as bytes and in batches, links and pins as file descriptors,
//! test runs. Every call checks the sizes that the kernel relies on, so that everything above is safe.
#![expect(unsafe_code, reason = "bpf(2) takes addresses of memory")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use proxy_common::bucket::SharedBucketSet;
use proxy_common::cell::Cell64;
use proxy_common::pod::Pod;

/// `enum bpf_cmd` of linux/bpf.h.
mod command {
    pub(super) const MAP_CREATE: u32 = 0;
    pub(super) const MAP_LOOKUP_ELEM: u32 = 1;
    pub(super) const MAP_UPDATE_ELEM: u32 = 2;
    pub(super) const MAP_DELETE_ELEM: u32 = 3;
    pub(super) const OBJ_PIN: u32 = 6;
    pub(super) const OBJ_GET: u32 = 7;
    pub(super) const PROG_TEST_RUN: u32 = 10;
    pub(super) const PROG_GET_FD_BY_ID: u32 = 13;
    pub(super) const MAP_GET_FD_BY_ID: u32 = 14;
    pub(super) const OBJ_GET_INFO_BY_FD: u32 = 15;
    pub(super) const MAP_LOOKUP_BATCH: u32 = 24;
    pub(super) const LINK_CREATE: u32 = 28;
    pub(super) const LINK_UPDATE: u32 = 29;
    pub(super) const LINK_DETACH: u32 = 34;
}

/// Calls bpf(2). `attr` is the part of `union bpf_attr` that the command reads; what is not given counts as zero.
fn bpf<T>(command: u32, attr: &mut T) -> io::Result<RawFd> {
    // SAFETY: `attr` is a live, exclusive, fully initialised `repr(C)` struct of the size given; the addresses in it
    // are of buffers that the caller holds borrowed for the call, of sizes that it has checked.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, libc::c_long::from(command), std::ptr::from_mut(attr), size_of::<T>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as RawFd) }
}

/// Like [`bpf`], for commands that return a file descriptor.
fn bpf_fd<T>(command: u32, attr: &mut T) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn address<T>(of: &[T]) -> u64 {
    of.as_ptr() as u64
}

fn address_mut<T>(of: &mut [T]) -> u64 {
    of.as_mut_ptr() as u64
}

/// The bytes of a value.
pub(super) fn bytes_of<T: Pod>(value: &T) -> &[u8] {
    // SAFETY: `Pod` has no padding, so every byte is initialised; the slice borrows `value`.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// A value from its bytes. Panics unless there are as many as it has.
pub(super) fn from_bytes<T: Pod>(bytes: &[u8]) -> T {
    assert_eq!(bytes.len(), size_of::<T>(), "a value has the size of its type");
    // SAFETY: the length was just checked, any bytes are a valid `Pod`, and the read may be unaligned.
    unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast()) }
}

/// What a map is: `struct bpf_map_info`, the head of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub(super) struct MapInfo {
    pub(super) map_type: u32,
    pub(super) id: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) flags: u32,
    pub(super) name: [u8; 16],
}

/// What a program is: `struct bpf_prog_info`, the head of it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct ProgramInfo {
    pub(super) program_type: u32,
    pub(super) id: u32,
    tag: [u8; 8],
    lengths: [u32; 2],
    addresses: [u64; 2],
    load_time: u64,
    uid_and_maps: [u32; 2],
    map_ids: u64,
    pub(super) name: [u8; 16],
}

/// What a link is: `struct bpf_link_info`, the head of it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct LinkInfo {
    pub(super) link_type: u32,
    pub(super) id: u32,
    pub(super) program_id: u32,
    pad: u32,
    /// XDP and tcx links; 0 once the device is gone.
    pub(super) ifindex: u32,
    rest: [u32; 3],
}

/// A type that `BPF_OBJ_GET_INFO_BY_FD` fills.
pub(super) trait Info: Copy + Default {}
impl Info for MapInfo {}
impl Info for ProgramInfo {}
impl Info for LinkInfo {}

/// Asks the kernel what an object is.
pub(super) fn info<T: Info>(fd: BorrowedFd<'_>) -> io::Result<T> {
    #[repr(C)]
    struct Attr {
        fd: u32,
        length: u32,
        info: u64,
    }
    let mut info = [T::default()];
    let mut attr =
        Attr { fd: fd.as_raw_fd() as u32, length: size_of::<T>() as u32, info: address_mut(&mut info) };
    bpf(command::OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info[0])
}

/// A name of an object: NUL-padded bytes.
pub(super) fn object_name(name: &[u8; 16]) -> String {
    String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

/// The text of a path as the kernel wants it.
fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

#[repr(C)]
struct PathAttr {
    path: u64,
    fd: u32,
    flags: u32,
}

/// Pins an object. The path must be new, and on a BPF file system.
pub(super) fn pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attr = PathAttr { path: address(path.as_bytes_with_nul()), fd: fd.as_raw_fd() as u32, flags: 0 };
    bpf(command::OBJ_PIN, &mut attr).map(drop)
}

/// Opens a pinned object.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attr = PathAttr { path: address(path.as_bytes_with_nul()), fd: 0, flags: 0 };
    bpf_fd(command::OBJ_GET, &mut attr)
}

#[repr(C)]
struct IdAttr {
    id: u32,
    next: u32,
    flags: u32,
}

/// Opens a program by its number.
pub(super) fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    bpf_fd(command::PROG_GET_FD_BY_ID, &mut IdAttr { id, next: 0, flags: 0 })
}

/// Opens a map by its number.
pub(super) fn map_by_id(id: u32) -> io::Result<OwnedFd> {
    bpf_fd(command::MAP_GET_FD_BY_ID, &mut IdAttr { id, next: 0, flags: 0 })
}

/// Where a program is attached: `enum bpf_attach_type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(super) enum Hook {
    Xdp = 37,
    TcxIngress = 46,
}

/// Attaches a program to an interface, for as long as the link lives.
pub(super) fn link_create(
    program: BorrowedFd<'_>,
    ifindex: u32,
    hook: Hook,
    flags: u32,
) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        program: u32,
        ifindex: u32,
        hook: u32,
        flags: u32,
        relative: u64,
        revision: u64,
    }
    let program = program.as_raw_fd() as u32;
    bpf_fd(
        command::LINK_CREATE,
        &mut Attr { program, ifindex, hook: hook as u32, flags, relative: 0, revision: 0 },
    )
}

/// Puts another program into a link, between two packets.
pub(super) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct Attr {
        link: u32,
        program: u32,
        flags: u32,
        old: u32,
    }
    let (link, program) = (link.as_raw_fd() as u32, program.as_raw_fd() as u32);
    bpf(command::LINK_UPDATE, &mut Attr { link, program, flags: 0, old: 0 }).map(drop)
}

/// Takes a link's program off its interface, now: letting the last reference go does it some time later.
pub(super) fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct Attr {
        link: u32,
    }
    bpf(command::LINK_DETACH, &mut Attr { link: link.as_raw_fd() as u32 }).map(drop)
}

/// Runs a program once on a copy of a frame. Its verdict, and the frame afterwards.
pub(super) fn test_run(program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<(u32, Vec<u8>)> {
    #[repr(C)]
    struct Attr {
        program: u32,
        verdict: u32,
        size_in: u32,
        size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
    }
    let mut out = vec![0; frame.len() + 256];
    let mut attr = Attr {
        program: program.as_raw_fd() as u32,
        verdict: 0,
        size_in: frame.len() as u32,
        size_out: out.len() as u32,
        data_in: address(frame),
        data_out: address_mut(&mut out),
        repeat: 1,
        duration: 0,
    };
    bpf(command::PROG_TEST_RUN, &mut attr)?;
    out.truncate(attr.size_out as usize);
    Ok((attr.verdict, out))
}

/// Bytes of a cursor of a walk: the longest key's.
pub(super) const CURSOR: usize = 72;
/// Sends a frame through a program as if it had come in by an interface: what the program says of it is done
/// (`BPF_F_TEST_XDP_LIVE_FRAMES`, Linux 5.18).
pub(super) fn inject(program: BorrowedFd<'_>, frame: &[u8], ingress: u32) -> io::Result<()> {
    const LIVE_FRAMES: u32 = 1 << 1;
    /// `struct xdp_md` of linux/bpf.h.
    #[repr(C)]
    struct Context {
        data: u32,
        data_end: u32,
        data_meta: u32,
        ingress: u32,
        queue: u32,
        egress: u32,
    }
    #[repr(C)]
    struct Attr {
        program: u32,
        verdict: u32,
        size_in: u32,
        size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        context_size_in: u32,
        context_size_out: u32,
        context_in: u64,
        context_out: u64,
        flags: u32,
        cpu: u32,
        batch: u32,
        pad: u32,
    }
    let context =
        [Context { data: 0, data_end: frame.len() as u32, data_meta: 0, ingress, queue: 0, egress: 0 }];
    let mut attr = Attr {
        program: program.as_raw_fd() as u32,
        verdict: 0,
        size_in: frame.len() as u32,
        size_out: 0,
        data_in: address(frame),
        data_out: 0,
        repeat: 1,
        duration: 0,
        context_size_in: size_of::<Context>() as u32,
        context_size_out: 0,
        context_in: address(&context),
        context_out: 0,
        flags: LIVE_FRAMES,
        cpu: 0,
        batch: 1,
        pad: 0,
    };
    bpf(command::PROG_TEST_RUN, &mut attr).map(drop)
}

/// A map and its sizes, which the kernel trusts our buffers to have.
#[derive(Debug)]
pub(super) struct RawMap {
    fd: OwnedFd,
    info: MapInfo,
    /// Bytes of a value as lookups return it: those of all CPUs, for a map that is per CPU.
    stride: usize,
}

#[repr(C)]
struct ElementAttr {
    map: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Type numbers of `enum bpf_map_type` that we use.
pub(super) mod map_type {
    pub(in super::super) const HASH: u32 = 1;
    pub(in super::super) const ARRAY: u32 = 2;
    pub(in super::super) const PERCPU_ARRAY: u32 = 6;
    pub(in super::super) const LRU_HASH: u32 = 9;
    pub(in super::super) const LPM_TRIE: u32 = 11;
    pub(in super::super) const ARRAY_OF_MAPS: u32 = 12;
    pub(in super::super) const RINGBUF: u32 = 27;
}

/// An array of words, mapped into this process's memory (`BPF_F_MMAPABLE`).
#[derive(Debug)]
pub(super) struct SharedArray {
    start: std::ptr::NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: the memory is the process's, whoever holds this, and is only reached by atomic operations.
unsafe impl Send for SharedArray {}
// SAFETY: as above.
unsafe impl Sync for SharedArray {}

impl SharedArray {
    /// Maps all words of an array whose values are so many words.
    pub(super) fn map(map: &RawMap) -> io::Result<Self> {
        let words = map.info.value_size as usize / size_of::<u64>();
        let count = map.info.max_entries as usize * words;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, at a place that the kernel chooses; it refuses one that is longer than the map.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                count * size_of::<u64>(),
                protection,
                libc::MAP_SHARED,
                map.fd.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = std::ptr::NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { start, count })
    }

    /// The words.
    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped for as long as this lives, page-aligned, `count` words long; everybody else who writes them
        // does so by whole words.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl SharedArray {
    /// The words, as cells.
    pub(super) fn cells(&self) -> &[Cell64] {
        // SAFETY: as for `words`; a cell is a transparent `AtomicU64`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.count) }
    }
}

impl SharedArray {
    /// The words, as sets of buckets.
    pub(super) fn bucket_sets(&self) -> &[SharedBucketSet] {
        let words = size_of::<SharedBucketSet>() / size_of::<u64>();
        // SAFETY: as for `words`; a set is an array of cells, no more aligned than they are.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.count / words) }
    }
}

impl Drop for SharedArray {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own, and nobody has it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.count * size_of::<u64>()) };
    }
}

/// What came of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Batch {
    /// Entries that were read.
    pub(super) count: usize,
    /// Whether they were the last ones.
    pub(super) done: bool,
}

impl RawMap {
    /// Takes a map over.
    pub(super) fn new(fd: OwnedFd, cpus: usize) -> io::Result<Self> {
        let info: MapInfo = info(fd.as_fd())?;
        let size = info.value_size as usize;
        let stride =
            if info.map_type == map_type::PERCPU_ARRAY { size.next_multiple_of(8) * cpus } else { size };
        Ok(Self { fd, info, stride })
    }

    /// Makes an array with one value that is filled before anybody sees it.
    pub(super) fn create_array(name: &str, value: &[u8]) -> io::Result<Self> {
        let map = Self::create(name, value.len() as u32, 1, 0)?;
        map.update(&0u32.to_ne_bytes(), value)?;
        Ok(map)
    }

    /// Makes an array of zeroes that can be mapped, and put into an array of maps whatever its length.
    pub(super) fn create_shared(name: &str, value_size: u32, count: u32) -> io::Result<Self> {
        const MMAPABLE: u32 = 1 << 10;
        const INNER_MAP: u32 = 1 << 12;
        Self::create(name, value_size, count, MMAPABLE | INNER_MAP)
    }

    fn create(name: &str, value_size: u32, max_entries: u32, flags: u32) -> io::Result<Self> {
        #[repr(C)]
        struct Attr {
            map_type: u32,
            key_size: u32,
            value_size: u32,
            max_entries: u32,
            flags: u32,
            inner: u32,
            numa: u32,
            name: [u8; 16],
        }
        let mut attr = Attr {
            map_type: map_type::ARRAY,
            key_size: 4,
            value_size,
            max_entries,
            flags,
            inner: 0,
            numa: 0,
            name: [0; 16],
        };
        for (to, from) in attr.name[..15].iter_mut().zip(name.bytes()) {
            *to = from;
        }
        Self::new(bpf_fd(command::MAP_CREATE, &mut attr)?, 0)
    }

    /// What the kernel says it is.
    pub(super) fn info(&self) -> &MapInfo {
        &self.info
    }

    /// Bytes of a value as lookups return it.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    fn element(&self, key: &[u8], value: u64) -> ElementAttr {
        assert_eq!(key.len(), self.info.key_size as usize, "a key has its map's key size");
        ElementAttr { map: self.fd.as_raw_fd() as u32, pad: 0, key: address(key), value, flags: 0 }
    }

    /// Reads a value into `value`; `false`: there is none.
    pub(super) fn lookup(&self, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
        assert_eq!(value.len(), self.stride, "the buffer has its map's value size");
        let mut attr = self.element(key, address_mut(value));
        found(bpf(command::MAP_LOOKUP_ELEM, &mut attr))
    }

    /// Writes a value.
    pub(super) fn update(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        assert_eq!(value.len(), self.stride, "a value has its map's value size");
        let mut attr = self.element(key, address(value));
        bpf(command::MAP_UPDATE_ELEM, &mut attr).map(drop)
    }

    /// Removes an entry; `false`: there was none.
    pub(super) fn delete(&self, key: &[u8]) -> io::Result<bool> {
        let mut attr = self.element(key, 0);
        found(bpf(command::MAP_DELETE_ELEM, &mut attr))
    }

    /// Reads the next entries after `cursor` (`None`: from the beginning) into `keys` and `values`, as many as fit.
    /// A cursor belongs to one walk of one map.
    pub(super) fn lookup_batch(
        &self,
        cursor: &mut Option<[u8; CURSOR]>,
        keys: &mut [u8],
        values: &mut [u8],
    ) -> io::Result<Batch> {
        #[repr(C)]
        struct Attr {
            in_batch: u64,
            out_batch: u64,
            keys: u64,
            values: u64,
            count: u32,
            map: u32,
            element_flags: u64,
            flags: u64,
        }
        let room = keys.len() / self.info.key_size as usize;
        assert!(self.info.key_size as usize <= CURSOR, "a cursor holds a bucket's number or a key");
        assert!(values.len() >= room * self.stride, "there is a value for each key");
        let mut next = [0u8; CURSOR];
        let mut attr = Attr {
            in_batch: cursor.as_ref().map_or(0, |at| address(at)),
            out_batch: address_mut(&mut next),
            keys: address_mut(keys),
            values: address_mut(values),
            count: room as u32,
            map: self.fd.as_raw_fd() as u32,
            element_flags: 0,
            flags: 0,
        };
        let done = match bpf(command::MAP_LOOKUP_BATCH, &mut attr) {
            Ok(_) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) => return Err(error),
        };
        *cursor = Some(next);
        Ok(Batch { count: attr.count as usize, done })
    }
}

impl AsFd for RawMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes "no such entry" an answer instead of an error.
fn found(result: io::Result<RawFd>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}
