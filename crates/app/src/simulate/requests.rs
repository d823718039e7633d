//! The record of requests: what arrived and how its answer ended. Newest kept, bounded in number and bytes.

use bytes::Bytes;
use claviger_domain::limits::{SIMULATOR_LOG_BYTES, SIMULATOR_LOG_REQUESTS};
use claviger_domain::time::Timestamp;
use http::{HeaderMap, Method};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// What an entry takes beside its texts: the structures that hold them.
const ENTRY_BYTES: usize = 512;

/// The record.
#[derive(Debug, Default)]
pub(super) struct Requests(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Entry>,
    size_bytes: usize,
    /// Number of the last request; the first is 1.
    last: u64,
    /// Requests that were dropped to stay within the bounds.
    dropped: u64,
}

/// One request as it arrived.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) arrived: Timestamp,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Still being sent.
    Open,
    /// All of it was handed to the socket.
    Complete,
    /// The peer left before.
    Aborted,
    /// Cut by the script.
    Cut,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    arrival: Arrival,
    ended: Ended,
    body_bytes_sent: u64,
}

impl Requests {
    /// Adds a request and gives its number.
    pub(super) fn add(&self, arrival: Arrival) -> u64 {
        let mut kept = self.0.lock();
        kept.last += 1;
        let number = kept.last;
        let entry = Entry { number, arrival, ended: Ended::Open, body_bytes_sent: 0 };
        kept.size_bytes += entry.size_bytes();
        kept.entries.push_back(entry);
        while kept.entries.len() > SIMULATOR_LOG_REQUESTS || kept.size_bytes > SIMULATOR_LOG_BYTES {
            let Some(oldest) = kept.entries.pop_front() else { break };
            kept.size_bytes -= oldest.size_bytes();
            kept.dropped += 1;
        }
        number
    }

    /// Notes how the answer to a request ended, and the bytes of its body that were handed to the socket.
    pub(super) fn end(&self, number: u64, ended: Ended, body_bytes_sent: u64) {
        let mut kept = self.0.lock();
        let Some(first) = kept.entries.front().map(|entry| entry.number) else { return };
        let index = number.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        if let Some(entry) = index.and_then(|index| kept.entries.get_mut(index)) {
            entry.ended = ended;
            entry.body_bytes_sent = body_bytes_sent;
        }
    }

    /// Forgets everything; numbers go on.
    pub(super) fn clear(&self) {
        let mut kept = self.0.lock();
        kept.entries.clear();
        kept.size_bytes = 0;
    }

    /// The requests behind number `after`, oldest first.
    pub(super) fn list(&self, after: u64) -> Value {
        let kept = self.0.lock();
        let data: Vec<Value> = kept.entries.iter().filter(|entry| entry.number > after).map(Entry::json).collect();
        json!({ "data": data, "last": kept.last, "dropped": kept.dropped })
    }
}

impl Entry {
    fn size_bytes(&self) -> usize {
        let headers: usize = self.arrival.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        ENTRY_BYTES + self.arrival.path.len() + headers + self.arrival.body.len()
    }

    fn json(&self) -> Value {
        let Arrival { method, path, headers, body, arrived } = &self.arrival;
        let headers: Vec<Value> = headers
            .iter()
            .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
            .collect();
        let how = match self.ended {
            Ended::Open => "open",
            Ended::Complete => "complete",
            Ended::Aborted => "aborted",
            Ended::Cut => "cut",
        };
        json!({
            "n": self.number,
            "method": method.as_str(),
            "path": path,
            "headers": headers,
            "body": String::from_utf8_lossy(body),
            "arrived": arrived.rfc3339(),
            "arrived_us": arrived.0,
            "ended": { "how": how, "after_bytes": self.body_bytes_sent },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(body: Bytes) -> Arrival {
        let (method, path) = (Method::POST, "/v1/chat/completions".to_owned());
        Arrival { method, path, headers: HeaderMap::new(), body, arrived: Timestamp(0) }
    }

    fn kept(requests: &Requests) -> (usize, usize, u64) {
        let kept = requests.0.lock();
        (kept.entries.len(), kept.size_bytes, kept.dropped)
    }

    #[test]
    fn the_record_is_bounded_in_number_and_bytes() {
        let requests = Requests::default();
        for _ in 0..SIMULATOR_LOG_REQUESTS + 5 {
            requests.add(arrival(Bytes::new()));
        }
        assert_eq!(kept(&requests), (SIMULATOR_LOG_REQUESTS, SIMULATOR_LOG_REQUESTS * 532, 5));
        let large = Bytes::from(vec![b'x'; 1024 * 1024]);
        for _ in 0..100 {
            requests.add(arrival(large.clone()));
        }
        let (entries, size_bytes, _) = kept(&requests);
        assert!(entries == 63 && size_bytes <= SIMULATOR_LOG_BYTES, "{entries} entries, {size_bytes} bytes");
        requests.clear();
        assert_eq!((kept(&requests).0, kept(&requests).1), (0, 0));
    }

    #[test]
    fn an_ending_finds_its_request_after_others_were_dropped() {
        let requests = Requests::default();
        let first = requests.add(arrival(Bytes::new()));
        requests.clear();
        let second = requests.add(arrival(Bytes::new()));
        requests.end(first, Ended::Aborted, 1);
        requests.end(second, Ended::Complete, 2);
        let list = requests.list(0);
        assert_eq!(list["data"][0]["ended"], json!({"how": "complete", "after_bytes": 2}));
        assert_eq!(
            (list["data"][0]["n"].as_u64(), requests.list(2)["data"].as_array().map(Vec::len)),
            (Some(2), Some(0))
        );
    }
}
