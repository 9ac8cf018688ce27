//! Steps, planned and taken in memory.
