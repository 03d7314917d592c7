"""`python -m ice_agent` is `ice-agent`."""

from ice_agent.cli import main

if __name__ == "__main__":
    main()
