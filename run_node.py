"""Run a node from a clone: `python run_node.py [CONFIG]`. Without CONFIG: node1 with one gateway on 127.0.0.1:18080."""

from majula.runner.__main__ import main

if __name__ == "__main__":
    main()
