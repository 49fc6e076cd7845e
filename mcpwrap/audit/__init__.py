"""Records of what was decided, written before a call goes on, and their reader."""
