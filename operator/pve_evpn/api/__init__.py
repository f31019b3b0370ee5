"""The API users write and read: pydantic models, conditions and reasons, and the CRDs made from them. No behaviour."""
