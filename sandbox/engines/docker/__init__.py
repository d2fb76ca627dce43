"""The stack as containers: `docker compose` starts and ends it, the docker SDK tells what there is. Only here: the docker SDK."""
