"""Where the prices of logic come from: Verilog in ``pe/``, its synthesis and toggle simulation, and the price file.

``modules.py`` lists what is synthesised; ``synthesise.py`` makes ``synthesis.csv`` (needs yosys and Liberty files);
``prices.py`` makes ``configs/cost/logic_nangate45.yaml`` from it and from ``reference.csv``. ``dram.py`` makes
``configs/cost/dram_standards.yaml`` from ``dram_currents.csv``. No part of the simulator.
"""
