//! The simulator in process. It fetches nothing and says what it used exactly.

use super::{EVERYTHING, Habits, SELF_HOSTED};

pub(super) const HABITS: Habits =
    Habits { is_media_data_only: false, counts_and_compacts: true, serves: EVERYTHING, ..SELF_HOSTED };
