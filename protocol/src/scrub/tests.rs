//! Tests of the whole scrubber.
