//! Responses that the standalone simulator keeps, so that they can be asked for later as of a real server. The newest
//! thousand, in memory.

use claviger_wire::simulator::KeptResponse;
use http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// What it remembers.
const KEPT: usize = 1000;

/// The responses, oldest first.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<VecDeque<One>>);

#[derive(Debug)]
struct One {
    id: String,
    response: Value,
    items: Vec<Value>,
}

impl Kept {
    /// Keeps a response.
    pub(super) fn add(&self, kept: KeptResponse) {
        let Ok(response) = serde_json::from_slice(&kept.response) else { return };
        let input = serde_json::from_str(&kept.input).unwrap_or_default();
        let items = items(&kept.id, input);
        let mut all = self.0.lock();
        if all.len() >= KEPT {
            all.pop_front();
        }
        all.push_back(One { id: kept.id, response, items });
    }

    /// Whether it is kept.
    pub(super) fn has(&self, id: &str) -> bool {
        self.0.lock().iter().any(|one| one.id == id)
    }

    /// Status and body of a call about a response; `None` when the path is about none.
    pub(super) fn answer(&self, method: &Method, path: &str, query: &str) -> Option<(u16, Value)> {
        let tail = path.strip_prefix("/v1/responses/")?;
        let (id, part) = tail.split_once('/').unwrap_or((tail, ""));
        let about = match (method.as_str(), part) {
            ("GET" | "DELETE", "") | ("POST", "cancel") | ("GET", "input_items") => part,
            _ => return None,
        };
        let mut all = self.0.lock();
        let Some(at) = all.iter().position(|one| one.id == id) else {
            return Some((404, error(&format!("Response with id '{id}' not found."))));
        };
        let one = &all[at];
        Some(match (method, about) {
            (&Method::DELETE, _) => {
                all.remove(at);
                (200, json!({ "id": id, "object": "response", "deleted": true }))
            }
            (_, "cancel") => (400, error("Only responses created with background=true can be cancelled.")),
            (_, "input_items") => (200, page(&one.items, query)),
            _ => (200, one.response.clone()),
        })
    }
}

/// A page of items, newest first unless `order` says otherwise.
fn page(items: &[Value], query: &str) -> Value {
    let word = |name: &str| query.split('&').find_map(|pair| pair.split_once('=').filter(|(found, _)| *found == name));
    let mut items: Vec<&Value> = items.iter().collect();
    if word("order").is_none_or(|(_, order)| order != "asc") {
        items.reverse();
    }
    if let Some((_, after)) = word("after") {
        let at = items.iter().position(|item| item["id"] == after).map_or(items.len(), |at| at + 1);
        items.drain(..at);
    }
    let limit = word("limit").and_then(|(_, limit)| limit.parse().ok()).unwrap_or(20);
    let has_more = items.len() > limit;
    items.truncate(limit);
    let id = |item: Option<&&Value>| item.map_or(Value::Null, |item| item["id"].clone());
    json!({ "object": "list", "data": items, "first_id": id(items.first()), "last_id": id(items.last()), "has_more": has_more })
}

/// What a response was made of, as items with ids.
fn items(id: &str, input: Value) -> Vec<Value> {
    let list = match input {
        Value::Array(list) => list,
        Value::String(text) => vec![json!({ "role": "user", "content": [{ "type": "input_text", "text": text }] })],
        _ => Vec::new(),
    };
    let tail = id.strip_prefix("resp_").unwrap_or(id);
    let named = |(number, mut item): (usize, Value)| {
        if let Some(members) = item.as_object_mut() {
            members.insert("id".to_owned(), json!(format!("msg_{tail}_{number}")));
            members.entry("type").or_insert_with(|| json!("message"));
        }
        item
    };
    list.into_iter().enumerate().map(named).collect()
}

fn error(message: &str) -> Value {
    json!({ "error": { "message": message, "type": "invalid_request_error", "param": null, "code": null } })
}
