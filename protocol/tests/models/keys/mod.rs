//! Models G: rotation and revocation (R6). Four small ones, because keys of different purposes share no state.

mod log_key;
mod overlap;
mod revocation;
mod serials;
