//! Who is kept out: the book of bans, over tables that the kernel's programs and the workers look into. Where the tables
//! are, a [`Place`] says: in the kernel's maps, or on the heap. No socket, no file.

/// The book: what is banned, by whom, and until when.
mod book;
/// What must not be banned by mistake.
mod guard;
/// Lists of prefixes, as text.
mod list;
/// Where tables are.
mod place;
/// Tables made from what the book holds.
mod table;
/// What workers ask.
mod view;
/// Who is banned for what they do.
mod watch;

pub use book::{BanError, Book, Removed, Row};
pub use guard::{Guard, Needed};
pub use list::{Broken, Parsed, parse};
pub use place::{Heap, Memory, Place};
pub use table::{Builder, Built, Content, List};
pub use view::View;
pub use watch::{Earned, Watch};
