//! What the kernel knows about a process (CPU time, memory), and what we ask of it: a core, more file descriptors.

use crate::Result;
use std::io;
use std::time::Duration;

/// CPU time of all threads of a process, those that have ended included: utime + stime of `/proc/PID/stat`, but in
/// nanoseconds instead of hundredths of a second.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let mut clock = 0;
    // SAFETY: `clock` lives through the call.
    let error = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) };
    if error != 0 {
        return Err(format!("process {pid}: {}", io::Error::from_raw_os_error(error)).into());
    }
    Ok(read_clock(clock)?)
}

pub(crate) fn own_cpu_time() -> Duration {
    read_clock(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap_or_default()
}

fn read_clock(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` lives through the call.
    match unsafe { libc::clock_gettime(clock, &mut time) } {
        0 => Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Resident memory in bytes. That of the kernel for its sockets is not in it.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    memory(pid, "VmRSS:")
}

/// The most that it has ever been.
pub(crate) fn peak_resident(pid: u32) -> Result<u64> {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, which: &str) -> Result<u64> {
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| format!("process {pid}: {error}"))?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix(which)?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .ok_or_else(|| format!("process {pid} has no memory"))?;
    Ok(kilobytes * 1024)
}

/// How many threads of the whole machine wanted a core over the last minute.
pub(crate) fn load_average() -> Result<f64> {
    let averages = std::fs::read_to_string("/proc/loadavg")?;
    Ok(averages.split(' ').next().unwrap_or_default().parse()?)
}

/// What all cores of the machine did so far, in hundredths of a second.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cores {
    /// Somebody wanted them.
    wanted: u64,
    /// Of that: the hypervisor gave them to somebody else.
    stolen: u64,
}

impl Cores {
    pub(crate) fn read() -> Result<Cores> {
        Cores::parse(&std::fs::read_to_string("/proc/stat")?).ok_or_else(|| "/proc/stat: no line of all cores".into())
    }

    fn parse(stat: &str) -> Option<Cores> {
        let times: Vec<u64> =
            stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().flat_map(str::parse).collect();
        let [user, nice, system, _idle, _disk, irq, softirq, stolen, ..] = times[..] else { return None };
        Some(Cores { wanted: user + nice + system + irq + softirq + stolen, stolen })
    }

    /// What happened since. Some kernels count a little back.
    pub(crate) fn since(self, before: Cores) -> Cores {
        let wanted = self.wanted.saturating_sub(before.wanted);
        Cores { wanted, stolen: self.stolen.saturating_sub(before.stolen) }
    }

    pub(crate) fn add(&mut self, more: Cores) {
        self.wanted += more.wanted;
        self.stolen += more.stolen;
    }

    /// In percent of the time in which somebody wanted a core.
    pub(crate) fn stolen(self) -> f64 {
        self.stolen as f64 / self.wanted.max(1) as f64 * 100.0
    }
}

/// Binds the calling thread, and what it starts from now on, to one core.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    // SAFETY: a cpu_set_t is plain bits, for which zero is valid; CPU_SET checks the range.
    let result = unsafe {
        let mut cores: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut cores);
        libc::sched_setaffinity(0, size_of_val(&cores), &cores)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes all the file descriptors that we may have, and says how many.
pub(crate) fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives through both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return Err(io::Error::last_os_error());
        }
        limit.rlim_cur = limit.rlim_max;
        if libc::setrlimit(libc::RLIMIT_NOFILE, &limit) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        let pid = std::process::id();
        assert!(resident(pid).unwrap() > 100_000);
        assert!(peak_resident(pid).unwrap() >= resident(pid).unwrap() / 2);
        assert!(cpu_time(pid).unwrap() > Duration::ZERO);
        assert!(own_cpu_time() >= cpu_time(pid).unwrap() / 2);
    }

    #[test]
    fn what_the_hypervisor_took_is_a_share_of_what_was_wanted() {
        let before = Cores::parse("cpu  100 0 100 5000 20 0 0 10 0 0\ncpu0 1 2 3\n").unwrap();
        let after = Cores::parse("cpu  160 10 120 9000 90 2 3 15 0 0\n").unwrap();
        let mut sum = after.since(before);
        assert_eq!((sum.wanted, sum.stolen), (100, 5));
        sum.add(Cores { wanted: 100, stolen: 15 });
        assert_eq!(sum.stolen(), 10.0);
        assert!(Cores::parse("cpu0 1 2 3 4 5 6 7 8").is_none() && Cores::read().is_ok());
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        // Linux numbers no process higher than 2^22.
        assert!(resident(5_000_000).is_err());
        assert!(cpu_time(5_000_000).is_err());
    }
}
