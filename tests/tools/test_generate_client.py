from tools.generate_client import CLIENT_DIR, SYNCHRONOUS, generate_synchronous


def test_client_that_blocks_is_the_generated_one():
    """Whoever changes one client changes both; run `make client` after a change."""
    assert (CLIENT_DIR / SYNCHRONOUS).read_text() == generate_synchronous()


def test_generated_client_neither_awaits_nor_names_asyncio():
    generated = generate_synchronous()
    code = generated.partition("import ")[2]
    assert not {"async", "await", "asyncio"} & {*code.replace(".", " ").split()}
    assert "Async" not in code
