//! Causes become public errors here, and only here.
//!
//! The bytes are made by `wire::error_body`. What a cause says inside goes to the log, once, and never leaves.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use claviger_domain::endpoint::ErrorShape;
use claviger_domain::error::{Code, PublicError};
use claviger_storage as storage;
use claviger_wire::error_body;
use http::StatusCode;

/// Why an operation does not end with its own reply.
#[derive(Debug)]
pub(crate) struct Refusal(Instead);

#[derive(Debug)]
enum Instead {
    Refused(PublicError),
    /// Done, but not proved: the 202 that was asked for.
    NotYet(Box<Response>),
}

impl Refusal {
    /// The catalogue's entry with a message made for this case.
    pub(crate) fn because(code: Code, message: impl Into<String>) -> Self {
        PublicError::with_message(code, message).into()
    }

    /// Names the field or parameter it is about.
    pub(crate) fn about(self, param: impl Into<String>) -> Self {
        match self.0 {
            Instead::Refused(error) => error.about(param).into(),
            not_yet @ Instead::NotYet(_) => Self(not_yet),
        }
    }

    /// A value that a field or parameter cannot have.
    pub(crate) fn invalid(param: &str, expected: impl std::fmt::Display) -> Self {
        Self::because(Code::InvalidValue, format!("Invalid value for '{param}': expected {expected}.")).about(param)
    }

    /// Foreign, unknown or malformed: the same bytes (`keys.md` §2.3).
    pub(crate) fn not_found() -> Self {
        Code::NotFound.into()
    }

    /// What was asked is done and waits for its proof: 202, because the caller preferred that to waiting.
    pub(crate) fn not_yet(response: Response) -> Self {
        Self(Instead::NotYet(Box::new(response)))
    }

    /// A change that failed in the store: nothing was written, or it is not known.
    pub(crate) fn of_write(cause: storage::Error) -> Self {
        match cause {
            storage::Error::Unavailable(_) => {
                tracing::error!(error = %cause, "a change could not be written");
                Code::AuditUnavailable.into()
            }
            other => other.into(),
        }
    }

    /// The code of what was refused; `None` = it is done, but not proved.
    pub(crate) fn code(&self) -> Option<Code> {
        match &self.0 {
            Instead::Refused(error) => Some(error.code),
            Instead::NotYet(_) => None,
        }
    }

    /// The public error.
    #[cfg(test)]
    pub(crate) fn public(&self) -> &PublicError {
        match &self.0 {
            Instead::Refused(error) => error,
            Instead::NotYet(_) => panic!("not refused"),
        }
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        PublicError::new(code).into()
    }
}

impl From<PublicError> for Refusal {
    fn from(error: PublicError) -> Self {
        Self(Instead::Refused(error))
    }
}

impl From<storage::Error> for Refusal {
    fn from(cause: storage::Error) -> Self {
        match cause {
            storage::Error::Beyond => {
                let message = "You have no right to this now, or it concerns somebody who may more.";
                return Self::because(Code::PermissionDenied, message);
            }
            storage::Error::LastOwner => return Code::LastOwner.into(),
            _ => tracing::error!(error = %cause, "the store refused an operation"),
        }
        match cause {
            storage::Error::Unavailable(_) => {
                Self::because(Code::ServiceUnavailable, "The database cannot be reached now. Please try again.")
            }
            storage::Error::OutcomeUnknown(_) => Code::RevocationPending.into(),
            _ => Code::InternalError.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = match self.0 {
            Instead::Refused(error) => error,
            Instead::NotYet(response) => return *response,
        };
        // Every management row has OpenAI's shape, which carries no request id in its body.
        let reply = error_body::render(&error, ErrorShape::OpenAi, "");
        let mut response = Response::new(Body::from(reply.body));
        *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in reply.headers {
            if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), http::HeaderValue::try_from(value)) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}
