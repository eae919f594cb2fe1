from threading import Thread

import pytest

from headcirc.cine.channel import Channel, ChannelClosedError


def test_items_come_in_order_and_several_at_a_time():
    channel = Channel(100)
    for item in range(4):
        channel.put(item, 10)
    channel.end()
    assert channel.take(3) == [0, 1, 2]
    assert channel.take(3) == [3]
    with pytest.raises(ChannelClosedError):
        channel.take()


def test_a_full_channel_makes_its_writer_wait():
    """What waits is never more than the limit, whatever the number of items."""
    channel, put = Channel(25), []

    def write():
        for item in range(6):
            channel.put(item, 10)
            put.append(item)
        channel.end()

    writer = Thread(target=write)
    writer.start()
    taken = []
    with pytest.raises(ChannelClosedError):
        while True:
            taken += channel.take()
            assert len(put) <= len(taken) + 3  # two wait, and one may be noted late
    writer.join()
    assert taken == list(range(6))


def test_an_item_above_the_limit_passes_alone():
    channel = Channel(5)
    channel.put("large", 50)
    assert channel.take() == ["large"]


def test_a_stop_wakes_the_writer_that_waits():
    """Nobody is left behind when the caller goes."""
    channel, ended = Channel(10), []
    channel.put(0, 10)

    def write():
        try:
            channel.put(1, 10)
        except ChannelClosedError:
            ended.append(True)

    writer = Thread(target=write)
    writer.start()
    channel.stop()
    writer.join(10)
    assert ended == [True]
    with pytest.raises(ChannelClosedError):
        channel.take()
