//! The simulator in process. It fetches nothing and says what it used exactly.

use super::{EVERYTHING, Habits, SELF_HOSTED};

pub(super) const HABITS: Habits = Habits { is_media_data_only: false, serves: EVERYTHING, ..SELF_HOSTED };
