//! The domain side of realtime: topics, options, who may see a change, and what it looks like to them.
