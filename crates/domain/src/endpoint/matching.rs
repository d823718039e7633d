//! Raw path → row, decided once (W1, W47).
//!
//! Aliases are expanded into a hash map of literal paths; rows with captured segments are few and are tried in order.
//! Nothing is decoded, folded or resolved: `..`, `%2f`, `;x`, `\` and raw non-ASCII simply match no row.

use super::row::{ErrorShape, Method, Operation, Plane, Row};
use super::{data, management};
use std::borrow::Cow;
use std::collections::HashMap;

/// The bases under which every inference path is served (W1).
pub(super) const INFERENCE_BASES: &[&str] = &["/v1/", "/", "/api/", "/api/v1/", "/openai/v1/"];

/// Paths of inference beside those of the bases, with the row's own path (W1): what clients of other vendors append.
pub(super) const MORE_PATHS: &[(&str, &str)] = &[("/v2/rerank", "rerank")];

/// The most captured segments of one row.
const CAPTURES_MAX: usize = 3;

/// A row and what its `{…}` segments held, in order.
#[derive(Clone, Debug)]
pub struct Match {
    /// The row.
    pub row: &'static Row,
    captures: [Option<String>; CAPTURES_MAX],
}

impl Match {
    /// The captured text of a `{name}` of the row's path.
    pub fn captured(&self, name: &str) -> Option<&str> {
        let position = self
            .row
            .path
            .split('/')
            .filter(|part| part.starts_with('{'))
            .position(|part| part.trim_start_matches('{').trim_end_matches(['}', '*']) == name)?;
        self.captures.get(position)?.as_deref()
    }

    /// The text of the last `{…}` of the row's path: the object that the request is about.
    pub fn last_captured(&self) -> Option<&str> {
        self.captures.iter().rev().find_map(Option::as_deref)
    }
}

/// Why a path and method are no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// No row has this path.
    UnknownPath,
    /// Rows have it, with these methods: the `Allow` header, and the answer to OPTIONS.
    OtherMethod(Vec<&'static str>),
}

/// The table with its aliases expanded.
#[derive(Debug)]
pub struct EndpointTable {
    literal: HashMap<String, Vec<&'static Row>>,
    captured: Vec<(Vec<&'static str>, &'static Row)>,
}

impl Default for EndpointTable {
    fn default() -> Self {
        Self::new()
    }
}

impl EndpointTable {
    /// Expands every row.
    pub fn new() -> Self {
        let mut table = Self { literal: HashMap::new(), captured: Vec::new() };
        for row in Self::rows() {
            if row.path.contains('{') {
                let bases = match row.plane {
                    Plane::Management => &[""][..],
                    // `find_model` answers it: its tail has slashes.
                    Plane::Inference if row.operation == Operation::GetModel => &[],
                    Plane::Inference => INFERENCE_BASES,
                };
                for base in bases {
                    let base = base.strip_suffix('/').map(|base| base.split('/')).into_iter().flatten();
                    table.captured.push((base.chain(row.path.split('/')).collect(), row));
                }
                continue;
            }
            match row.plane {
                Plane::Management => table.literal.entry(row.path.to_owned()).or_default().push(row),
                Plane::Inference => {
                    for base in INFERENCE_BASES {
                        table.literal.entry(format!("{base}{}", row.path)).or_default().push(row);
                    }
                    for (path, _) in MORE_PATHS.iter().filter(|(_, of)| *of == row.path) {
                        table.literal.entry((*path).to_owned()).or_default().push(row);
                    }
                }
            }
        }
        for (path, operation) in data::EXTRA_PATHS {
            let rows = data::ROWS.iter().filter(|row| row.operation == *operation);
            if path.contains('{') {
                table.captured.extend(rows.map(|row| (path.split('/').collect(), row)));
                continue;
            }
            table.literal.entry((*path).to_owned()).or_default().extend(rows);
        }
        table
    }

    /// Every row, for enumeration by tests and documents.
    pub fn rows() -> impl Iterator<Item = &'static Row> {
        data::ROWS.iter().chain(management::AREAS.iter().copied().flatten())
    }

    /// The shape of errors on a path, whatever the method: its own if it has rows, else OpenAI's.
    pub fn error_shape(&self, path: &str) -> ErrorShape {
        self.candidates(path).first().map_or(ErrorShape::OpenAi, |found| found.row.error_shape)
    }

    /// The row of a raw path (without its query) and method.
    ///
    /// # Errors
    /// [`Miss`]: 404, or 405 with the methods that exist.
    pub fn find(&self, method: &str, path: &str) -> Result<Match, Miss> {
        let method = if method == "HEAD" { "GET" } else { method };
        let rows = self.candidates(path);
        let Some(first) = rows.first() else { return Err(Miss::UnknownPath) };
        if let Some(found) = rows.iter().find(|candidate| candidate.row.method.name() == method) {
            return Ok(found.clone());
        }
        let mut allowed: Vec<&'static str> = Vec::new();
        for candidate in std::iter::once(first).chain(&rows) {
            let name = candidate.row.method.name();
            if !allowed.contains(&name) {
                allowed.push(name);
                if name == "GET" {
                    allowed.push("HEAD");
                }
            }
        }
        allowed.push("OPTIONS");
        Err(Miss::OtherMethod(allowed))
    }

    fn candidates(&self, path: &str) -> Vec<Match> {
        let plain = |rows: &Vec<&'static Row>| {
            rows.iter().map(|row| Match { row, captures: [const { None }; CAPTURES_MAX] }).collect::<Vec<_>>()
        };
        if let Some(rows) = self.literal.get(path) {
            return plain(rows);
        }
        if let Some(found) = self.find_model(path) {
            return vec![found];
        }
        let found = self.capture(path);
        if !found.is_empty() {
            return found;
        }
        let Cow::Owned(tidy) = tidied(path) else { return Vec::new() };
        let literal = self.literal.get(&tidy).map(plain);
        let mut found = literal.unwrap_or_else(|| self.capture(&tidy));
        found.retain(|found| found.row.plane == Plane::Inference);
        found
    }

    fn capture(&self, path: &str) -> Vec<Match> {
        self.captured.iter().filter_map(|(pattern, row)| capture(pattern, path, row)).collect()
    }

    /// `models/{id}`: everything behind `models/` belongs to the id, slashes raw or encoded, decoded once (W19).
    fn find_model(&self, path: &str) -> Option<Match> {
        let row = data::ROWS.iter().find(|row| row.path == "models/{id}")?;
        let at = path.find("models/")?;
        let (base, tail) = path.split_at_checked(at)?;
        let tail = tail.strip_prefix("models/")?;
        if !INFERENCE_BASES.contains(&tidied(base).as_ref()) || tail.is_empty() {
            return None;
        }
        let id = percent_decoded(tail)?;
        Some(Match { row, captures: [Some(id), None, None] })
    }
}

impl Method {
    /// The method's token on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

fn capture(pattern: &[&'static str], path: &str, row: &'static Row) -> Option<Match> {
    let mut captures = [const { None }; CAPTURES_MAX];
    let mut slots = captures.iter_mut();
    let mut parts = path.split('/');
    for expected in pattern {
        let part = parts.next()?;
        if expected.ends_with("*}") {
            // The tail: a model id, whose slashes come raw or encoded, decoded once as in W19.
            let tail = path
                .len()
                .checked_sub(parts.fold(part.len(), |sum, rest| sum.saturating_add(rest.len()).saturating_add(1)))?;
            *slots.next()? = Some(percent_decoded(path.get(tail..)?).filter(|id| !id.is_empty())?);
            return Some(Match { row, captures });
        }
        if expected.starts_with('{') {
            let is_id = (1..=128).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
            if !is_id {
                return None;
            }
            *slots.next()? = Some(part.to_owned());
        } else if *expected != part {
            return None;
        }
    }
    parts.next().is_none().then_some(Match { row, captures })
}

/// Runs of `/` become one, one trailing `/` is dropped; clients are given bases that cause both.
fn tidied(path: &str) -> Cow<'_, str> {
    if !path.contains("//") && (path == "/" || !path.ends_with('/')) {
        return Cow::Borrowed(path);
    }
    let mut tidy = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !tidy.ends_with('/') {
            tidy.push(character);
        }
    }
    let is_base = INFERENCE_BASES.contains(&tidy.as_str());
    if !is_base && tidy.len() > 1 && tidy.ends_with('/') {
        tidy.pop();
    }
    Cow::Owned(tidy)
}

/// Decodes `%XX` once; `None` if an escape is broken or the result is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let text = std::str::from_utf8(&digits).ok()?;
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            bytes.push(u8::from_str_radix(text, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(method: &str, path: &str) -> Option<Operation> {
        EndpointTable::new().find(method, path).ok().map(|found| found.row.operation)
    }

    #[test]
    fn inference_paths_are_served_under_every_base() {
        for path in [
            "/v1/chat/completions",
            "/chat/completions",
            "/api/chat/completions",
            "/api/v1/chat/completions",
            "/openai/v1/chat/completions",
            "/v1//chat/completions",
            "//v1/chat/completions/",
            "/v1/chat/completions/",
        ] {
            assert_eq!(operation("POST", path), Some(Operation::ChatCompletions), "{path}");
        }
    }

    #[test]
    fn nothing_else_is_forgiven() {
        for path in [
            "/v1/../x",
            "/v1/../chat/completions",
            "/v1/%2e%2e/chat/completions",
            "/v1/chat%2fcompletions",
            "/v1/chat/completions%00",
            "/v1/chat/completions;x=1",
            "/v1/chat/completions/é",
            "/v1\\chat\\completions",
            "/V1/chat/completions",
            "/v1/chat/completions#",
            "/v2/chat/completions",
            "/v1/organization/api_keys/",
            "/v1//organization/api_keys",
            "/v1/organization/api_keys/key_a%2fb",
            "/v1/organization/api_keys/a/b/c",
        ] {
            assert_eq!(operation("POST", path), None, "{path}");
        }
    }

    #[test]
    fn model_ids_keep_their_slashes() {
        for path in ["/v1/models/a/b", "/v1/models/a%2Fb", "/models/a%2fb", "/api/v1/models/a/b"] {
            let found = EndpointTable::new().find("GET", path).unwrap();
            assert_eq!(found.row.operation, Operation::GetModel);
            assert_eq!(found.captured("id"), Some("a/b"), "{path}");
        }
        assert_eq!(
            EndpointTable::new().find("GET", "/v1/models/org/a%2Fb:tag").unwrap().captured("id"),
            Some("org/a/b:tag")
        );
        assert_eq!(EndpointTable::new().find("GET", "/v1/models/..").unwrap().captured("id"), Some(".."));
        assert_eq!(operation("GET", "/v1/models/"), Some(Operation::ListModels));
    }

    #[test]
    fn a_task_is_found_by_its_id_under_every_base() {
        for path in ["/v1/videos/task_1", "/videos/task_1", "/api/v1/videos/task_1", "/v1//videos/task_1/"] {
            let found = EndpointTable::new().find("GET", path).unwrap();
            assert_eq!((found.row.operation, found.captured("id")), (Operation::GetVideo, Some("task_1")), "{path}");
            assert_eq!(operation("DELETE", path), Some(Operation::DeleteVideo), "{path}");
        }
        assert_eq!(operation("POST", "/openai/v1/video/generations/t/cancel"), Some(Operation::CancelGeneration));
        for path in ["/v1/tasks/task_1", "/api/v1/task/task_1"] {
            let found = EndpointTable::new().find("GET", path).unwrap();
            assert_eq!((found.row.operation, found.captured("id")), (Operation::GetTask, Some("task_1")), "{path}");
        }
        assert_eq!(operation("POST", "/api/v1/task"), Some(Operation::CreateTask));
        for path in ["/v1/videos/a%2fb", "/v1/videos/a/b", "/v1/videos/..", "/v1/videos//content"] {
            assert_eq!(operation("POST", path), None, "{path}");
        }
    }

    #[test]
    fn what_is_kept_is_found_by_its_id_under_every_base() {
        for path in ["/v1/responses/resp_1", "/responses/resp_1", "/api/v1/responses/resp_1", "/v1//responses/resp_1/"]
        {
            let found = EndpointTable::new().find("GET", path).unwrap();
            assert_eq!((found.row.operation, found.captured("id")), (Operation::GetResponse, Some("resp_1")), "{path}");
            assert_eq!(operation("DELETE", path), Some(Operation::DeleteResponse), "{path}");
        }
        assert_eq!(operation("POST", "/openai/v1/responses/resp_1/cancel"), Some(Operation::CancelResponse));
        assert_eq!(operation("GET", "/v1/responses/resp_1/input_items"), Some(Operation::ListInputItems));
        // A literal path is never an id.
        assert_eq!(operation("POST", "/v1/responses/compact"), Some(Operation::CompactResponse));
        assert_eq!(operation("GET", "/v1/responses/compact"), None);
        for path in ["/v1/responses/a%2fb", "/v1/responses/a/b", "/v1/responses/.."] {
            assert_eq!(operation("GET", path), None, "{path}");
        }
    }

    #[test]
    fn a_tail_takes_the_whole_rest_of_its_path() {
        for (tail, model) in
            [("*", "*"), ("acme/chat", "acme/chat"), ("acme%2Fchat", "acme/chat"), ("a/b/c:d", "a/b/c:d")]
        {
            let path = format!("/v1/organization/projects/env_1/rate_limits/{tail}");
            let found = EndpointTable::new().find("POST", &path).unwrap();
            assert_eq!((found.captured("project"), found.captured("model")), (Some("env_1"), Some(model)), "{tail}");
        }
        for path in
            ["/v1/organization/rate_limits/", "/v1/organization/rate_limits/%zz", "/v1/organization//rate_limits/a"]
        {
            assert_eq!(operation("POST", path), None, "{path}");
        }
    }

    #[test]
    fn a_wrong_method_names_the_right_ones() {
        assert_eq!(
            EndpointTable::new().find("GET", "/v1/chat/completions").unwrap_err(),
            Miss::OtherMethod(vec!["POST", "OPTIONS"])
        );
        assert_eq!(
            EndpointTable::new().find("PUT", "/v1/organization/api_keys").unwrap_err(),
            Miss::OtherMethod(vec!["GET", "HEAD", "POST", "OPTIONS"])
        );
        assert_eq!(operation("HEAD", "/v1/models"), Some(Operation::ListModels));
    }

    #[test]
    fn captured_names_are_found_by_name() {
        let found = EndpointTable::new().find("GET", "/v1/organization/projects/env_1/api_keys/key_2").unwrap();
        assert_eq!(
            (found.captured("project"), found.captured("key"), found.captured("x")),
            (Some("env_1"), Some("key_2"), None)
        );
    }

    #[test]
    fn no_inference_alias_meets_a_management_row() {
        let table = EndpointTable::new();
        for (path, rows) in &table.literal {
            assert!(rows.iter().all(|row| row.plane == rows[0].plane), "{path}");
        }
    }
}
