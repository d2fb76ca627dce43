"""What every service needs to be a program, and no service's own: flags, log lines, uvicorn. Imports no service."""
