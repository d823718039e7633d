//! A whole answer: the upstream's bytes with the caller's model id.

use super::answer::Answer;
use crate::inference::{Reply, UpstreamFault};
use crate::splice::Splice;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::meter::UsageSource;

/// Refuses what is not JSON, an error object under a 200, no choices, and a choice that ended with an error.
pub(in crate::openai) fn read(body: Bytes, model_json: &Bytes, dialect: Dialect) -> Result<Reply, UpstreamFault> {
    let answer = Answer::read(&body).map_err(|_| UpstreamFault::unreadable("The answer is not a JSON object."))?;
    if answer.is_error {
        return Err(UpstreamFault::reported(&body));
    }
    if answer.seen == 0 {
        return Err(UpstreamFault::unreadable("The answer has no choices."));
    }
    let mut splice = Splice::new();
    answer.edit(model_json, &mut splice);
    let has_content = answer.content_chunks > 0;
    Ok(Reply {
        usage: answer.figures.usage(dialect, UsageSource::UpstreamFinal, has_content),
        has_content,
        content_bytes: answer.content_bytes,
        is_finished: answer.finished == answer.seen,
        body: splice.apply_whole(&body),
    })
}
