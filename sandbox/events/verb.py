"""What a verb yields while it is at work."""

from sandbox.events.bundle import Bundled
from sandbox.events.filter import BuiltModule, Swapped
from sandbox.events.stack import EngineEvent, Notice, Ready, Step, Stopped

Event = EngineEvent | Step | Notice | Ready | Stopped | Bundled | BuiltModule | Swapped
