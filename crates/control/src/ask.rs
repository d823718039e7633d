//! The body of the lists that are asked by POST: `{orgSlug?, limit?, after?}`, absent or empty.
//!
//! A key belongs to one organization; the slug of another is answered like one that nobody has.

use crate::authorize::Member;
use crate::body::OptionalFields;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::body::Body;
use axum::extract::FromRequest;
use claviger_domain::limits;
use claviger_storage::{Order, PageRequest};
use http::Request;

/// What was asked.
pub(crate) struct Ask {
    organization: Option<String>,
    limit: Option<u32>,
    after: Option<String>,
}

impl Ask {
    /// The page, if the organization named is the caller's.
    pub(crate) fn page(self, actor: &Member) -> Result<PageRequest, Refusal> {
        if self.organization.is_some_and(|slug| slug != actor.organization().slug) {
            return Err(Refusal::not_found());
        }
        let limit = self.limit.unwrap_or(20);
        Ok(PageRequest { limit, after: self.after, before: None, order: Order::Descending })
    }
}

impl FromRequest<Call<Member>> for Ask {
    type Rejection = Refusal;

    async fn from_request(request: Request<Body>, call: &Call<Member>) -> Result<Self, Refusal> {
        let OptionalFields(mut fields) = OptionalFields::from_request(request, call).await?;
        let ask = Self {
            organization: fields.text("orgSlug")?,
            limit: fields.count("limit", 1, limits::PAGE_ROWS)?,
            after: fields.text("after")?,
        };
        fields.finish(&[])?;
        Ok(ask)
    }
}
