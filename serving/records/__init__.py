"""Records of the answered requests, sent to the monitor off the request path. `docs/records.md` says what they hold."""

from serving.records.config import BadRecordsConfig, RecordsConfig
from serving.records.profile import Profile, read_profile
from serving.records.recorder import Recorder
from serving.records.sender import Origin, Sender

__all__ = ["BadRecordsConfig", "Origin", "Profile", "Recorder", "RecordsConfig", "Sender", "read_profile"]
