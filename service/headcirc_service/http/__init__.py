"""Routes, request and answer bodies, and problem documents."""
