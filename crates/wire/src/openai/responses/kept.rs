//! Calls about an answer that its server keeps: read it, end it, stop it, list what it was made of (2.3, W13).
//!
//! The caller's query is read, not forwarded (W47): what the server is asked is written anew. Whose answer it is, and who
//! keeps it, is not known here.

use super::answer::Answer;
use super::names::{quoted, shown};
use crate::inference::UpstreamFault;
use crate::scan::{Field, Kind, Place, Sink, Value, scan_lenient};
use crate::splice::Splice;
use crate::url::decoded;
use bytes::Bytes;
use claviger_domain::endpoint::{Method, Operation};
use claviger_domain::error::{Code, PublicError};
use claviger_domain::id::ResponseId;
use std::fmt::Write as _;

/// The most parts of an answer that one call may ask for beyond the usual.
const INCLUDED: usize = 16;

/// What is asked of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptCall {
    /// The answer itself.
    Read,
    /// It shall be kept no longer.
    Delete,
    /// It shall not be made any further.
    Cancel,
    /// What it was made of.
    InputItems,
}

/// How the caller knows what is asked for.
#[derive(Clone, Debug)]
pub struct KnownAs<'a> {
    /// The answer's id.
    pub answer: ResponseId,
    /// The model as the caller named it.
    pub model: &'a str,
    /// The answer that it goes on from.
    pub previous: Option<ResponseId>,
}

impl KeptCall {
    /// The call that an operation is.
    pub const fn of(operation: Operation) -> Option<Self> {
        Some(match operation {
            Operation::GetResponse => Self::Read,
            Operation::DeleteResponse => Self::Delete,
            Operation::CancelResponse => Self::Cancel,
            Operation::ListInputItems => Self::InputItems,
            _ => return None,
        })
    }

    /// How it is asked upstream.
    pub const fn method(self) -> Method {
        match self {
            Self::Read | Self::InputItems => Method::Get,
            Self::Delete => Method::Delete,
            Self::Cancel => Method::Post,
        }
    }

    /// Where, behind the provider's base URL. The name must hold nothing that a path gives a meaning to.
    ///
    /// # Errors
    /// 400 with its `param`: a word of the query that is known has no sense.
    pub fn path(self, upstream_id: &str, query: Option<&str>) -> Result<String, PublicError> {
        let mut path = format!("/v1/responses/{upstream_id}");
        match self {
            Self::Read | Self::Delete => {}
            Self::Cancel => path.push_str("/cancel"),
            Self::InputItems => path.push_str("/input_items"),
        }
        if self.method() == Method::Get {
            let mut joint = '?';
            for (name, value) in self.words(query.unwrap_or_default())? {
                // Writing into a text cannot fail.
                let _ = write!(path, "{joint}{name}={value}");
                joint = '&';
            }
        }
        Ok(path)
    }

    /// The words of a query that are known, each of letters that need no escape.
    fn words(self, query: &str) -> Result<Vec<(&'static str, String)>, PublicError> {
        let mut words = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let text = |part: &str| String::from_utf8_lossy(&decoded(part.as_bytes())).into_owned();
            let value = text(value);
            let is_of = |letters: &str| {
                value.bytes().all(|byte| byte.is_ascii_alphanumeric() || letters.contains(char::from(byte)))
            };
            let (name, is_sound) = match (self, text(name).as_str()) {
                (_, "include" | "include[]") => ("include[]", (1..=64).contains(&value.len()) && is_of("._")),
                (Self::InputItems, "after") => ("after", (1..=128).contains(&value.len()) && is_of("_-")),
                (Self::InputItems, "limit") => {
                    ("limit", value.parse().is_ok_and(|limit: u8| (1..=100).contains(&limit)))
                }
                (Self::InputItems, "order") => ("order", matches!(value.as_str(), "asc" | "desc")),
                (Self::Read, "stream") if value == "false" => continue,
                (Self::Read, "stream") => return Err(PublicError::new(Code::UnsupportedParameter).about("stream")),
                _ => continue,
            };
            if !is_sound || words.len() > INCLUDED {
                return Err(PublicError::new(Code::InvalidValue).about(name.trim_end_matches("[]")));
            }
            words.push((if name == "include[]" { "include%5B%5D" } else { name }, value));
        }
        Ok(words)
    }

    /// The server's answer, with the caller's names in it.
    ///
    /// # Errors
    /// It is none.
    pub fn read_reply(self, body: &Bytes, known_as: &KnownAs<'_>) -> Result<Bytes, UpstreamFault> {
        let unreadable = || UpstreamFault::unreadable("The answer about a kept response cannot be read.");
        let mut splice = Splice::new();
        match self {
            Self::Read | Self::Cancel => {
                let answer = Answer::whole(body).map_err(|_| unreadable())?;
                if !answer.has_id() {
                    return Err(unreadable());
                }
                let previous = known_as.previous.map(|id| id.to_string());
                answer.edit(&shown(quoted(known_as.model), Some(known_as.answer), previous.as_deref()), &mut splice);
            }
            Self::Delete => {
                let told = Told::read(body).filter(|told| told.is_deleted).ok_or_else(unreadable)?;
                if let Some(id) = told.id {
                    splice.replace(id.span(), quoted(&known_as.answer.text()));
                }
            }
            Self::InputItems => {
                Told::read(body).filter(|told| told.has_items).ok_or_else(unreadable)?;
            }
        }
        Ok(splice.apply_whole(body))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Id,
    Deleted,
    Data,
}

static TOLD: Place<Tag> = Place::new(
    None,
    &[Field::leaf("id", Tag::Id), Field::leaf("deleted", Tag::Deleted), Field::leaf("data", Tag::Data)],
    None,
);

/// What is read of a list, or of the word that something is deleted.
#[derive(Default)]
struct Told {
    id: Option<Value>,
    is_deleted: bool,
    has_items: bool,
}

impl Told {
    fn read(body: &[u8]) -> Option<Self> {
        let mut told = Self::default();
        scan_lenient(body, &TOLD, &mut told).ok()?;
        Some(told)
    }
}

impl Sink<Tag> for Told {
    fn found(&mut self, tag: Tag, value: Value) {
        match tag {
            Tag::Id => self.id = Some(value),
            Tag::Deleted => self.is_deleted = value.kind == Kind::Bool(true),
            Tag::Data => self.has_items = matches!(value.kind, Kind::List { .. }),
        }
    }
}
