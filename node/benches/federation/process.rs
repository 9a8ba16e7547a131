//! What the kernel says about a process: CPU time, also by thread name, and resident memory. Reads /proc alone.

use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};

/// The kernel counts CPU time in these.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time of a process so far, in seconds, in steps of 10 ms.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let text = read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = text.rsplit(')').next().unwrap_or("");
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|one| one.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

/// CPU time of the threads that live, in seconds, by name.
pub(crate) fn by_thread(pid: u32) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    let Ok(threads) = read_dir(format!("/proc/{pid}/task")) else {
        return found;
    };
    for thread in threads.flatten() {
        let name = read_to_string(thread.path().join("comm")).unwrap_or_default();
        let times = read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        let nanos = times.split(' ').next().and_then(|one| one.parse().ok());
        *found.entry(name.trim().to_owned()).or_default() += nanos.unwrap_or(0.0) / 1e9;
    }
    found
}

/// Resident memory in megabytes; `peak` gives its highest value so far.
pub(crate) fn resident_mb(pid: u32, peak: bool) -> f64 {
    let name = if peak { "VmHWM:" } else { "VmRSS:" };
    let text = read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1_024.0 / 1e6
}

/// CPU time of processes since it was made.
pub(crate) struct Watch {
    began: std::time::Instant,
    before: Vec<(u32, f64, BTreeMap<String, f64>)>,
}

impl Watch {
    pub(crate) fn new(processes: &[u32]) -> Self {
        let look = |pid: &u32| (*pid, cpu_seconds(*pid), by_thread(*pid));
        Self {
            began: std::time::Instant::now(),
            before: processes.iter().map(look).collect(),
        }
    }

    /// CPU time of all of them since, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let of = |(pid, before, _): &(u32, f64, BTreeMap<String, f64>)| cpu_seconds(*pid) - before;
        self.before.iter().map(of).sum()
    }

    /// For each process, the share of one core in percent, in all and by thread, the busiest first.
    pub(crate) fn shares(&self) -> Vec<String> {
        let elapsed = self.began.elapsed().as_secs_f64();
        let percent = |seconds: f64| 100.0 * seconds / elapsed;
        let shown = |(pid, before, threads): &(u32, f64, BTreeMap<String, f64>)| {
            let mut now: Vec<(String, f64)> = by_thread(*pid)
                .into_iter()
                .map(|(name, time)| {
                    let share = percent(time - threads.get(&name).unwrap_or(&0.0));
                    (name, share)
                })
                .filter(|(_, share)| *share >= 0.05)
                .collect();
            now.sort_by(|a, b| b.1.total_cmp(&a.1));
            let parts: Vec<String> = now
                .iter()
                .map(|(name, share)| format!("{name} {share:.1}"))
                .collect();
            let all = percent(cpu_seconds(*pid) - before);
            format!("{all:.1} % of a core ({})", parts.join(", "))
        };
        self.before.iter().map(shown).collect()
    }
}
