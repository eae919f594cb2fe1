from harness.machine import describe_machine, read_cpu_model, read_memory_gib, to_cpu_name


def test_the_machine_is_described_without_its_name(tmp_path):
    """CPU and memory are read from the kernel's words; host name and paths are not told."""
    cpu, memory = tmp_path / "cpuinfo", tmp_path / "meminfo"
    cpu.write_text("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\n")
    memory.write_text("MemTotal:       8388608 kB\n")
    assert read_cpu_model(cpu) == "A CPU @ 2 GHz"
    assert read_memory_gib(memory) == 8
    assert read_memory_gib(tmp_path / "none") is None
    facts = describe_machine(["numpy", "no-such-package"])
    assert facts["cpu"] == to_cpu_name(read_cpu_model(), facts["cpu_instructions"])
    assert list(facts["packages"]) == ["numpy"]
    assert facts["cpus_available"] >= 1
    assert not {"host", "hostname", "node"} & set(facts)


def test_a_processor_is_named_with_its_8_bit_products():
    """Two of one family may differ in them; where nothing is known nothing is said."""
    assert to_cpu_name("A CPU", ["avx2"]) == "A CPU without AVX-512 VNNI"
    assert to_cpu_name("A CPU", ["avx512_vnni", "avx_vnni"]) == "A CPU with AVX-512 VNNI"
    assert to_cpu_name("A CPU", ["avx2", "avx_vnni"]) == "A CPU with AVX-VNNI"
    assert to_cpu_name("A CPU", []) == "A CPU"
