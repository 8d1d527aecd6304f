//! The table of jobs: what runs in the background or was stopped, and what there is to say about it.
use super::Bytes;
use crate::process::{Pid, Status};
use crate::signal;
use crate::text::Text;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// How a job is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// At least one of its processes runs.
    Running,
    /// None runs, and a signal stopped at least one.
    Stopped(u32),
    /// All have ended; this is the last one's end.
    Done(Status),
}

/// Processes of one pipeline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// The number that `%` takes.
    pub number: usize,
    /// The group of its processes, or 0 without job control.
    pub group: Pid,
    /// Its processes and what is known of each; the last one's end is the job's.
    pub processes: Vec<(Pid, Option<Status>)>,
    /// How it was written.
    pub text: Bytes,
    /// What its user was last told of.
    pub told: State,
}

impl Job {
    /// How it is.
    #[must_use]
    pub fn state(&self) -> State {
        let mut stopped = None;
        for (_, status) in &self.processes {
            match status {
                None | Some(Status::Continued) => return State::Running,
                Some(Status::Stopped(signal)) => stopped = Some(*signal),
                Some(_) => {}
            }
        }
        match (stopped, self.processes.last()) {
            (Some(signal), _) => State::Stopped(signal),
            (None, Some((_, Some(status)))) => State::Done(*status),
            (None, _) => State::Done(Status::Exited(0)),
        }
    }

    /// The number of its last process: what `$!` is.
    #[must_use]
    pub fn last_pid(&self) -> Pid {
        self.processes.last().map_or(0, |(pid, _)| *pid)
    }
}

/// All jobs, the newest last.
#[derive(Clone, Default, Debug)]
pub struct Jobs(Vec<Job>);

impl Jobs {
    /// Adds a job; its number.
    pub fn add(&mut self, group: Pid, pids: &[Pid], text: &[u8]) -> usize {
        let number = self.0.iter().map(|job| job.number).max().unwrap_or(0) + 1;
        self.0.push(Job {
            number,
            group,
            processes: pids.iter().map(|pid| (*pid, None)).collect(),
            text: text.trim_ascii().to_vec(),
            told: State::Running,
        });
        number
    }

    /// What became of a process.
    pub fn update(&mut self, pid: Pid, status: Status) {
        let all = self.0.iter_mut().flat_map(|job| job.processes.iter_mut());
        for (_, known) in all.filter(|(known, _)| *known == pid) {
            *known = Some(status);
        }
    }

    /// A job runs again.
    pub fn resume(&mut self, number: usize) {
        if let Some(job) = self.0.iter_mut().find(|job| job.number == number) {
            for (_, status) in &mut job.processes {
                if matches!(status, Some(Status::Stopped(_))) {
                    *status = None;
                }
            }
            job.told = State::Running;
        }
    }

    /// The job of this number.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&Job> {
        self.0.iter().find(|job| job.number == number)
    }

    /// The job that this process belongs to.
    #[must_use]
    pub fn of_process(&self, pid: Pid) -> Option<&Job> {
        self.0
            .iter()
            .find(|job| job.processes.iter().any(|(known, _)| *known == pid))
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Job] {
        &self.0
    }

    /// Forgets a job.
    pub fn remove(&mut self, number: usize) {
        self.0.retain(|job| job.number != number);
    }

    /// Forgets all: a subshell has none of its parent's.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The job that a text names: `%1`, `%%`, `%+`, `%-`, `%name`; empty: the current one.
    #[must_use]
    pub fn find(&self, text: &[u8]) -> Option<&Job> {
        match text.strip_prefix(b"%").unwrap_or(text) {
            b"" | b"%" | b"+" => self.current(),
            b"-" => self.previous(),
            name => match crate::text::number(name) {
                Some(number) => self.get(usize::try_from(number).ok()?),
                None => self.0.iter().rev().find(|job| job.text.starts_with(name)),
            },
        }
    }

    /// The job of `%+`: the one that was stopped last, or else the newest.
    fn current(&self) -> Option<&Job> {
        self.by_rank().next()
    }

    fn previous(&self) -> Option<&Job> {
        let mut ranked = self.by_rank();
        let current = ranked.next();
        ranked.next().or(current)
    }

    fn by_rank(&self) -> impl Iterator<Item = &Job> {
        let is_stopped = |job: &&Job| matches!(job.state(), State::Stopped(_));
        let stopped = self.0.iter().rev().filter(is_stopped);
        let others = self.0.iter().rev().filter(move |job| !is_stopped(job));
        stopped.chain(others)
    }

    /// The line that tells of a job.
    #[must_use]
    pub fn line(&self, job: &Job) -> String {
        let same = |other: Option<&Job>| other.is_some_and(|other| other.number == job.number);
        let mark = match () {
            () if same(self.current()) => '+',
            () if same(self.previous()) => '-',
            () => ' ',
        };
        let state = match job.state() {
            State::Running => "Running".into(),
            State::Stopped(signal) => signal::text(signal).into(),
            State::Done(Status::Exited(0)) => "Done".into(),
            State::Done(Status::Exited(code)) => format!("Done({code})"),
            State::Done(Status::Killed(signal)) => String::from(signal::text(signal)),
            State::Done(_) => "Done".into(),
        };
        format!("[{}] {mark} {state:<26} {}", job.number, Text(&job.text))
    }

    /// The lines about what has changed since the last call; jobs that have ended are forgotten.
    pub fn news(&mut self) -> Vec<String> {
        let changed = self.0.iter().filter(|job| job.state() != job.told);
        let lines = changed.map(|job| self.line(job)).collect();
        self.0.retain(|job| !matches!(job.state(), State::Done(_)));
        for job in &mut self.0 {
            job.told = job.state();
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_told_of_once_and_forgotten_when_it_has_ended() {
        let mut jobs = Jobs::default();
        assert_eq!(jobs.add(10, &[10, 11], b"a | b "), 1);
        assert_eq!(jobs.add(12, &[12], b"c"), 2);
        assert!(jobs.news().is_empty());
        jobs.update(11, Status::Exited(3));
        assert!(jobs.news().is_empty());
        jobs.update(10, Status::Exited(0));
        assert_eq!(jobs.news(), ["[1] - Done(3)                    a | b"]);
        assert!(jobs.get(1).is_none());
        jobs.update(12, Status::Stopped(signal::SIGTSTP));
        assert_eq!(jobs.news(), ["[2] + Stopped                    c"]);
        assert!(jobs.news().is_empty());
        jobs.resume(2);
        assert_eq!(jobs.get(2).unwrap().state(), State::Running);
        assert_eq!(jobs.add(20, &[20], b"d"), 3);
    }

    #[test]
    fn jobs_have_names() {
        let mut jobs = Jobs::default();
        jobs.add(1, &[1], b"sleep 1");
        jobs.add(2, &[2], b"cat");
        jobs.update(1, Status::Stopped(signal::SIGTSTP));
        let number = |text: &[u8]| jobs.find(text).map(|job| job.number);
        assert_eq!(number(b"%+"), Some(1));
        assert_eq!(number(b""), Some(1));
        assert_eq!(number(b"%-"), Some(2));
        assert_eq!(number(b"%2"), Some(2));
        assert_eq!(number(b"%sl"), Some(1));
        assert_eq!(number(b"%9"), None);
    }
}
