//! The simulator in process. It fetches nothing and says what it used exactly.

use super::{Habits, SELF_HOSTED};

pub(super) const HABITS: Habits = Habits { is_media_data_only: false, ..SELF_HOSTED };
