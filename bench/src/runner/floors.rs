//! The floors: what a build must reach, against nginx on the same machine in the same run.

use super::figures::{Figures, Sample, Target};
use super::table::added_beyond_sync;

/// Of nginx's requests per core-second.
const PER_CORE_SECOND_SHARE_MIN: f64 = 0.50;
/// Times nginx's processor time per request.
const CPU_PER_REQUEST_TIMES_MAX: f64 = 2.0;
/// Added median at 500 requests/s, milliseconds, beyond the disk's own sync.
const ADDED_P50_MS_MAX: f64 = 0.20;
/// Mebibytes with 1,000 keys.
const MEMORY_MIB_MAX: f64 = 60.0;

/// One promise and how it went.
#[derive(Debug)]
pub(crate) struct Floor {
    name: String,
    /// `None`: not measured in this run, which is not a pass of anything, only not a miss.
    value: Option<f64>,
    bound: Bound,
    digits: usize,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Floor {
    /// Whether the promise is kept, as far as it was measured.
    pub(crate) fn is_met(&self) -> bool {
        match (self.value, self.bound) {
            (None, _) => true,
            (Some(value), Bound::AtLeast(least)) => value >= least,
            (Some(value), Bound::AtMost(most)) => value <= most,
        }
    }
}

/// Judges the medians.
pub(crate) fn judge(figures: &Figures) -> Vec<Floor> {
    let against_nginx = |figure: fn(&Sample) -> Option<f64>| {
        let ratio = figures.against(Target::Claviger, Target::Nginx, |own, nginx| Some(figure(own)? / figure(nginx)?));
        ratio.map(|spread| spread.median)
    };
    let free_added =
        figures.against(Target::ClavigerFree, Target::Direct, |own, direct| Some(own.p50_ms - direct.p50_ms));
    let floor = |name: &str, value, bound, digits| Floor { name: name.to_owned(), value, bound, digits };
    let mut floors = vec![
        floor(
            "requests per core-second, of nginx's",
            against_nginx(Sample::per_core_second),
            Bound::AtLeast(PER_CORE_SECOND_SHARE_MIN),
            2,
        ),
        floor(
            "CPU per request, times nginx's",
            against_nginx(Sample::cpu_microseconds),
            Bound::AtMost(CPU_PER_REQUEST_TIMES_MAX),
            2,
        ),
        floor(
            "added p50 beyond the disk's sync, ms",
            added_beyond_sync(figures, Target::Claviger).map(|spread| spread.median),
            Bound::AtMost(ADDED_P50_MS_MAX),
            3,
        ),
        floor(
            "added p50 of a free model, ms",
            free_added.map(|spread| spread.median),
            Bound::AtMost(ADDED_P50_MS_MAX),
            3,
        ),
        floor(
            "memory with 1,000 keys, MiB",
            figures.idle_mib.get(&Target::Claviger).copied(),
            Bound::AtMost(MEMORY_MIB_MAX),
            1,
        ),
    ];
    for held in figures.held.iter().filter(|held| held.target.is_gateway()) {
        let name = format!("streams lost of {}, {}", held.asked, held.target.name());
        floors.push(floor(&name, Some(held.lost as f64), Bound::AtMost(0.0), 0));
    }
    for target in Target::ALL.into_iter().filter(|target| target.is_gateway()) {
        let bad = figures.own(target, |sample| Some(sample.bad as f64)).map(|spread| spread.greatest);
        floors.push(floor(&format!("calls gone wrong, {}", target.name()), bad, Bound::AtMost(0.0), 0));
    }
    floors
}

/// One line for each floor.
pub(crate) fn render(floors: &[Floor]) -> String {
    let line = |floor: &Floor| {
        let digits = floor.digits;
        let (bound, limit) = match floor.bound {
            Bound::AtLeast(least) => ("≥", least),
            Bound::AtMost(most) => ("≤", most),
        };
        match floor.value {
            None => format!("not measured  {} {bound} {limit:.digits$}\n", floor.name),
            Some(value) => {
                let word = if floor.is_met() { "met   " } else { "MISSED" };
                format!("{word}  {}: {value:.digits$} {bound} {limit:.digits$}\n", floor.name)
            }
        }
    };
    floors.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::runner::figures::Held;

    fn figures(answers: f64, p50_ms: f64, lost: u64) -> Figures {
        let sample = |answers, p50_ms| Sample {
            answers,
            p50_ms,
            sync_ms: Some(0.2),
            cpu_seconds: Some(1.0),
            ..Sample::default()
        };
        let round = BTreeMap::from([
            (Target::Direct, sample(0.0, 0.1)),
            (Target::Nginx, sample(1000.0, 0.2)),
            (Target::Claviger, sample(answers, p50_ms)),
        ]);
        let held = vec![Held {
            target: Target::Claviger,
            asked: 5000,
            alive: 5000 - lost,
            lost,
            fault: None,
            memory_mib: None,
        }];
        Figures { rounds: vec![round], held, ..Figures::default() }
    }

    fn missed(figures: &Figures) -> Vec<String> {
        judge(figures).into_iter().filter(|floor| !floor.is_met()).map(|floor| floor.name).collect()
    }

    #[test]
    fn each_floor_is_missed_by_its_own_figure_only() {
        assert_eq!(missed(&figures(500.0, 0.5, 0)), Vec::<String>::new());
        assert_eq!(
            missed(&figures(499.0, 0.5, 0)),
            ["requests per core-second, of nginx's", "CPU per request, times nginx's"]
        );
        assert_eq!(missed(&figures(500.0, 0.51, 0)), ["added p50 beyond the disk's sync, ms"]);
        assert_eq!(missed(&figures(500.0, 0.5, 1)), ["streams lost of 5000, claviger"]);
    }
}
