//! What every media request has in common, whether its body is JSON or a form: the model, what W49 refuses, and how it
//! is put to a target. Of a body only the model's name is changed.
//!
//! An endpoint says what is its own by [`Media`]; that makes it an [`Ask`].

use super::events::{Course, EventStream};
use super::form::Form;
use crate::body::{self, ModelName, SharedFields};
use crate::dialect::{check_serves, habits};
use crate::inference::{AnswerStream, Ask, Edits, ModelLimits, Reply, UpstreamFault, UpstreamRequest};
use crate::scan::{Place, Sink, scan_strict};
use crate::splice::Splice;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::meter::{Meters, UsageSource};
use claviger_domain::price::{Bound, Conditions};
use claviger_domain::settlement::Estimate;
use claviger_domain::task::VideoTerms;
use std::fmt;

/// One endpoint of media: what it reads besides, what it counts, and what its answers are.
pub(crate) trait Media: fmt::Debug + Send + Sync {
    /// The request as it came.
    fn request(&self) -> &MediaRequest;

    /// Quantities that it cannot exceed.
    fn most(&self, limits: ModelLimits) -> Meters;

    /// What it uses if nobody says.
    fn guess(&self) -> Meters;

    /// Reads a whole answer.
    fn answer(&self, body: Bytes) -> Result<Reply, UpstreamFault>;

    /// The course of an answer that is streamed as events.
    fn course(&self) -> Course;

    /// What the answer is called when its server does not say.
    fn answer_type(&self) -> &'static str {
        "application/json"
    }

    /// What a video is asked to be, where one is asked for.
    fn terms(&self) -> Option<&VideoTerms> {
        None
    }

    /// Whether an answer that is no stream of events leaves byte by byte.
    fn is_file(&self) -> bool {
        false
    }
}

/// A media request that broke no rule of W48.
#[derive(Debug)]
pub(crate) struct MediaRequest {
    pub(crate) model: ModelName,
    pub(crate) is_stream: bool,
    /// What it asks for besides quantities.
    pub(crate) conditions: Conditions,
    endpoint: EndpointName,
    /// Behind a provider's base URL.
    path: &'static str,
    form: BodyForm,
    /// Members or parts that an upstream is told besides, before all others: members each with its comma.
    added: Bytes,
    body: Bytes,
}

/// How a body holds its values.
#[derive(Debug)]
enum BodyForm {
    Json(SharedFields),
    Parts { model_at: std::ops::Range<usize>, engine: Option<&'static str>, content_type: String },
}

/// Scans a JSON body and checks what W48 and W49 say of every one.
pub(crate) fn scan<T: Copy>(
    body: &Bytes,
    place: &'static Place<T>,
    reading: &mut (impl Sink<T> + AsRef<SharedFields>),
) -> Result<ModelName, PublicError> {
    scan_strict(body, place, reading)?;
    reading.as_ref().check()?;
    reading.as_ref().model(body)
}

impl MediaRequest {
    /// Of a JSON body.
    pub(crate) fn json(
        endpoint: EndpointName,
        path: &'static str,
        model: ModelName,
        (shared, is_stream): (SharedFields, bool),
        body: Bytes,
    ) -> Self {
        let (form, added) = (BodyForm::Json(shared), Bytes::new());
        Self { model, is_stream, conditions: Conditions::NONE, endpoint, path, form, added, body }
    }

    /// Of a form.
    ///
    /// # Errors
    /// No model, or a flag that is none.
    pub(crate) fn form(endpoint: EndpointName, path: &'static str, form: &Form) -> Result<Self, PublicError> {
        let (model, model_at) = form.model()?;
        let parts = BodyForm::Parts { model_at, engine: form.engine(), content_type: form.content_type() };
        let (is_stream, body) = (form.flag("stream")?, form.body.clone());
        let (conditions, added) = (Conditions::NONE, Bytes::new());
        Ok(Self { model, is_stream, conditions, endpoint, path, form: parts, added, body })
    }

    /// The same, with members or parts that an upstream is told besides, before all others; members end in a comma.
    pub(crate) fn adding(mut self, members: String) -> Self {
        self.added = members.into();
        self
    }

    /// Bytes of the body.
    pub(crate) fn bytes(&self) -> u64 {
        u64::try_from(self.body.len()).unwrap_or(u64::MAX)
    }

    fn upstream(&self, upstream_model: &str) -> UpstreamRequest {
        let mut splice = Splice::new();
        let body = match &self.form {
            BodyForm::Json(shared) => {
                if !self.added.is_empty() {
                    splice.insert(shared.inside(), self.added.clone());
                }
                shared.rename_model(&self.body, upstream_model, &mut splice);
                body::pieces(&self.body, splice)
            }
            BodyForm::Parts { model_at, .. } => {
                if !self.added.is_empty() {
                    splice.insert(0, self.added.clone());
                }
                if self.model.id != upstream_model {
                    splice.replace(model_at.clone(), upstream_model.to_owned());
                }
                splice.apply(&self.body)
            }
        };
        UpstreamRequest { path: self.path, body }
    }

    fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError> {
        check_serves(dialect, self.endpoint)?;
        match &self.form {
            BodyForm::Json(shared) => shared.check_dialect(dialect),
            BodyForm::Parts { engine, .. } => match engine.filter(|_| habits(dialect).refuses_engine_fields) {
                Some(name) => Err(PublicError::new(Code::ForbiddenParameter).about(name)),
                None => Ok(()),
            },
        }
    }
}

impl<M: Media> Ask for M {
    fn model(&self) -> &str {
        &self.request().model.id
    }

    fn is_stream(&self) -> bool {
        self.request().is_stream
    }

    fn is_job(&self) -> bool {
        self.terms().is_some()
    }

    fn video(&self) -> Option<&VideoTerms> {
        self.terms()
    }

    fn body_bytes(&self) -> usize {
        self.request().body.len()
    }

    fn conditions(&self) -> Conditions {
        self.request().conditions.clone()
    }

    /// Media have no limit that could be lowered: what they can make is bounded like what they read.
    fn bound(&self, limits: ModelLimits) -> Result<Bound, PublicError> {
        Ok(Bound { input: self.most(limits), output_per_choice: 0, choices: 1 })
    }

    fn estimate(&self) -> Estimate {
        Estimate { input: self.guess(), source: UsageSource::Estimated, has_output: false }
    }

    fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError> {
        self.request().check_dialect(dialect)
    }

    fn upstream(&self, edits: &Edits<'_>) -> UpstreamRequest {
        self.request().upstream(edits.upstream_model)
    }

    fn read_reply(&self, body: Bytes, _dialect: Dialect) -> Result<Reply, UpstreamFault> {
        self.answer(body)
    }

    fn request_type(&self) -> &str {
        match &self.request().form {
            BodyForm::Json(_) => "application/json",
            BodyForm::Parts { content_type, .. } => content_type,
        }
    }

    fn content_type(&self) -> &'static str {
        self.answer_type()
    }

    fn is_binary(&self) -> bool {
        self.is_file() && !self.request().is_stream
    }

    fn stream(&self, _dialect: Dialect) -> Option<Box<dyn AnswerStream>> {
        self.request().is_stream.then(|| Box::new(EventStream::new(self.course())) as Box<dyn AnswerStream>)
    }
}
