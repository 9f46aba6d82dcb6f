//! A crowd that has been idle for a while, and the memory that it takes in the server.

use crate::crowd::{Crowd, Guests};
use crate::request::Target;
use crate::{Result, process};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) struct Held {
    pub(crate) crowd: Crowd,
    pub(crate) lost: usize,
    /// Of the server, in bytes, before the first and after the last client.
    resident: Option<(u64, u64)>,
    cpu: Option<Duration>,
}

impl Held {
    pub(crate) fn open(target: &Target, guests: Guests, pid: Option<u32>, time: Duration) -> Result<Held> {
        let before = pid.map(process::resident).transpose()?;
        let cpu_before = pid.map(process::cpu_time).transpose()?;
        let mut crowd = Crowd::open(target, guests)?;
        let cpu_after = pid.map(process::cpu_time).transpose()?;
        crowd.listen(time, |_, _| {})?;
        let resident = before.zip(pid.map(process::resident).transpose()?);
        let cpu = cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before));
        Ok(Held { lost: crowd.lost(), crowd, resident, cpu })
    }

    pub(crate) fn kilobytes_per_client(&self) -> Option<f64> {
        let (before, after) = self.resident?;
        Some((after as f64 - before as f64) / 1024.0 / self.crowd.len().max(1) as f64)
    }

    pub(crate) fn connect_rate(&self) -> f64 {
        self.crowd.len() as f64 / self.crowd.opening.as_secs_f64()
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "clients": self.crowd.len(), "lost": self.lost, "first_loss": self.crowd.first_loss,
            "rss_before_kb": self.resident.map(|(before, _)| before / 1024),
            "rss_after_kb": self.resident.map(|(_, after)| after / 1024),
            "kb_per_client": self.kilobytes_per_client(), "connects_per_second": self.connect_rate(),
            "cpu_us_per_connect": self.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / self.crowd.len().max(1) as f64),
        })
    }
}
