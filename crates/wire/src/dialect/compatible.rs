//! Any other OpenAI-like server. What runs behind it is not known: engine fields are refused as on one's own servers,
//! media URLs pass as on OpenAI.

use super::{EVERYTHING, Habits, SELF_HOSTED};

pub(super) const HABITS: Habits =
    Habits { is_media_data_only: false, counts_and_compacts: true, serves: EVERYTHING, ..SELF_HOSTED };
