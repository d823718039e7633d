//! The one table of endpoints, and the one match of method and path against it.
//!
//! No row, no endpoint (`decisions.md` §5). Aliases of inference paths are expanded when the table is built; matching
//! follows W47: inference rows forgive runs of `/` and one trailing `/`, all other rows match byte for byte. The
//! handlers are not known here.

mod counted;
mod data;
mod management;
mod matching;
mod row;

pub use matching::{EndpointTable, Match, Miss};
pub use row::{Authentication, EndpointName, ErrorShape, Method, Operation, Plane, Row};
