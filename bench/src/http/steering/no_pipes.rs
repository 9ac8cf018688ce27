//! A program that gets no pipes: so ours has to copy.
#![expect(unsafe_code, reason = "seccomp(2), between fork and exec")]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// From its start on, `pipe2` fails as when too many files are open.
pub(super) fn refuse(mut command: Command) -> Command {
    // SAFETY: `filter` calls nothing but prctl(2), which may be called between fork and exec.
    unsafe { command.pre_exec(filter) };
    command
}

fn filter() -> io::Result<()> {
    let step = |code: u32, jt: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    let mut code = [
        // The number of the system call is the first word of `struct seccomp_data`.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, libc::SYS_pipe2 as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | libc::EMFILE as u32),
    ];
    let program = libc::sock_fprog { len: code.len() as u16, filter: code.as_mut_ptr() };
    // SAFETY: the program and its code are alive as long as the calls last; the kernel copies them.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) < 0
    };
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}
