//! Shared by the suites: boots an image, waits, judges.
