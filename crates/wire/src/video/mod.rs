//! Video (`wire.md` §2.10): what is asked for, what upstreams say of it, and how a task is shown on either route.

mod ask;
mod said;
mod show;

#[cfg(test)]
mod tests;

pub use ask::VideoAsk;
pub use said::{UpstreamVideo, read_video};
pub use show::{generation, video, video_deleted, video_list};
