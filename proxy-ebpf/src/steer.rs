//! Which worker takes a new connection: that of the CPU which the packet came in on, unless it has more than its part
//! already. A network card with one queue, or a client on this host, brings everything in on one CPU.

/// Connections more than its part that a worker may take before others get some.
pub const SLACK: u64 = 64;

/// Whether a CPU's worker takes this one: it took `own` of `all` that came to `workers` workers.
#[inline(always)]
pub fn keeps(own: u64, all: u64, workers: u64) -> bool {
    // A quarter more than its part: own <= 5/4 * all / workers, without a division. 2^50 connections are some years'.
    own.wrapping_mul(4 * workers) <= all.wrapping_mul(5).wrapping_add(SLACK * 4 * workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_that_come_in_everywhere_stay_where_they_came_in() {
        let mut own = [0u64; 4];
        for all in 0..10_000u64 {
            let cpu = (all % 4) as usize;
            assert!(keeps(own[cpu], all, 4));
            own[cpu] += 1;
        }
    }

    #[test]
    fn a_worker_that_everything_comes_in_at_keeps_little_more_than_its_part() {
        let mut own = 0;
        for all in 0..100_000 {
            own += u64::from(keeps(own, all, 4));
        }
        assert!((31_000..32_000).contains(&own), "{own}");
    }
}
