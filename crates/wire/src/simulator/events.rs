//! A stream of named events, made one at a time: what stands still, and texts of which each token is an event.
//!
//! What the events say is their endpoint's (`messages.rs`, `responses.rs`). The first event waits `first_ms`, every
//! token but the first `gap_ms`; a broken plan ends it behind so many tokens.

use super::plan::{Break, BreakKind};
use super::script::Step;
use super::tokens::{Cursor, Words};
use super::usage::push_text;
use bytes::Bytes;
use std::collections::VecDeque;

/// What the token's event looks like around its text; a number that counts the events comes between the first two.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    pub(super) before: Vec<u8>,
    pub(super) between: Vec<u8>,
    pub(super) behind: Vec<u8>,
}

/// One piece of the stream.
#[derive(Debug)]
pub(super) enum Piece {
    /// One event. `tokens`: what it counts of the answer; none for what only frames it.
    Event { frame: Frame, tokens: Option<u64> },
    /// An event for each token.
    Words { frame: Frame, words: Words, cursor: Cursor },
    /// The first event of the end: a broken stream breaks before it at the latest.
    End { frame: Frame },
}

impl Piece {
    /// An event that counts nothing.
    pub(super) fn fixed(frame: Frame) -> Self {
        Self::Event { frame, tokens: None }
    }

    /// An event for each token of a text.
    pub(super) fn words(frame: Frame, words: Words) -> Self {
        Self::Words { frame, words, cursor: Cursor::default() }
    }
}

/// Usage so far, as an event of its own behind each token.
pub(super) type Running = fn(sent: u64) -> Bytes;

/// The stream.
#[derive(Debug)]
pub(super) struct Events {
    pieces: VecDeque<Piece>,
    /// The number of the next event, where events are numbered.
    number: Option<u64>,
    sent: u64,
    breaks: Option<Break>,
    /// The event that tells of a failure.
    failure: Frame,
    running: Option<Running>,
    waiting: Option<Bytes>,
    first_ms: u64,
    gap_ms: u64,
    has_begun: bool,
    has_token: bool,
}

/// When events come, and how they break.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) first_ms: u64,
    pub(super) gap_ms: u64,
    pub(super) breaks: Option<Break>,
    pub(super) failure: Frame,
    pub(super) running: Option<Running>,
    pub(super) is_numbered: bool,
}

impl Events {
    pub(super) fn new(pieces: VecDeque<Piece>, course: Course) -> Self {
        Self {
            pieces,
            number: course.is_numbered.then_some(0),
            sent: 0,
            breaks: course.breaks,
            failure: course.failure,
            running: course.running,
            waiting: None,
            first_ms: course.first_ms,
            gap_ms: course.gap_ms,
            has_begun: false,
            has_token: false,
        }
    }

    /// Whether it breaks before the next piece.
    fn breaks_here(&self) -> bool {
        let Some(breaks) = self.breaks else { return false };
        match self.pieces.front() {
            // The thinking of a message ends before its text begins: only what came counts there.
            Some(Piece::End { .. }) => self.sent >= breaks.after || self.is_last_end(),
            Some(Piece::Event { tokens: Some(_), .. } | Piece::Words { .. }) => self.sent >= breaks.after,
            _ => false,
        }
    }

    fn is_last_end(&self) -> bool {
        !self.pieces.iter().any(|piece| matches!(piece, Piece::Words { .. } | Piece::Event { tokens: Some(_), .. }))
    }

    fn event(&mut self) -> Option<(bool, Bytes)> {
        if let Some(waiting) = self.waiting.take() {
            return Some((false, waiting));
        }
        loop {
            if self.breaks_here() {
                let breaks = self.breaks.take()?;
                self.pieces.clear();
                let failure = std::mem::take(&mut self.failure);
                return (breaks.how == BreakKind::Error).then(|| (false, self.rendered(&failure, None)));
            }
            match self.pieces.pop_front()? {
                Piece::Event { frame, tokens } => {
                    self.sent = self.sent.saturating_add(tokens.unwrap_or(0));
                    return Some((tokens.is_some(), self.rendered(&frame, None)));
                }
                Piece::End { frame } => return Some((false, self.rendered(&frame, None))),
                Piece::Words { frame, words, mut cursor } => {
                    let mut scratch = String::new();
                    let Some(text) = words.piece(&cursor, &mut scratch).map(str::to_owned) else { continue };
                    words.advance(&mut cursor);
                    let event = self.rendered(&frame, Some(&text));
                    self.sent = self.sent.saturating_add(1);
                    self.waiting = self.running.map(|running| running(self.sent));
                    self.pieces.push_front(Piece::Words { frame, words, cursor });
                    return Some((true, event));
                }
            }
        }
    }

    fn rendered(&mut self, frame: &Frame, text: Option<&str>) -> Bytes {
        let mut out = Vec::with_capacity(frame.before.len().saturating_add(frame.behind.len()).saturating_add(64));
        out.extend_from_slice(&frame.before);
        if let Some(number) = &mut self.number {
            out.extend_from_slice(number.to_string().as_bytes());
            *number = number.saturating_add(1);
        }
        out.extend_from_slice(&frame.between);
        if let Some(text) = text {
            push_text(&mut out, text);
        }
        out.extend_from_slice(&frame.behind);
        out.into()
    }
}

impl Iterator for Events {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let (is_token, bytes) = self.event()?;
        let first_ms = if std::mem::replace(&mut self.has_begun, true) { 0 } else { self.first_ms };
        let gap_ms = if is_token && std::mem::replace(&mut self.has_token, true) { self.gap_ms } else { 0 };
        Some(Step { wait_ms: first_ms.saturating_add(gap_ms), bytes })
    }
}
