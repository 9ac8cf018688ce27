#!/usr/bin/env python3
"""gRPC through a proxy, by grpcio: a server and a client that check each other.
  grpc_check.py serve HOST:PORT            prints `ready` when it listens
  grpc_check.py check HOST:PORT            everything that must work; prints what failed, closes with `N passed, N failed`
  grpc_check.py refused HOST:PORT CODE     one call, which must fail with this status
  grpc_check.py hold HOST:PORT SECONDS     32 streams that talk all the time: none may break
  grpc_check.py calls HOST:PORT SECONDS    calls one after another on four channels: none may fail
Messages are bytes: no generated code is needed.
"""
import concurrent.futures
import sys
import threading
import time

import grpc

SERVICE = 'test.Echo'
OPTIONS = [('grpc.max_receive_message_length', -1), ('grpc.max_send_message_length', -1),
           ('grpc.so_reuseport', 0), ('grpc.enable_http_proxy', 0)]


def unary(request, context):
    for key, value in context.invocation_metadata():
        if key == 'x-fail':
            context.set_trailing_metadata((('x-why', 'asked'), ('x-data-bin', b'\0\1\2')))
            context.abort(grpc.StatusCode[value], 'as you wish: 100 % ünsinn')
        if key == 'x-wait':
            time.sleep(float(value))
    context.send_initial_metadata((('x-initial', 'first'),))
    context.set_trailing_metadata((('x-trailing', 'last'),))
    return request


def server_stream(request, context):
    for number in range(int(request)):
        yield b'%d' % number


def client_stream(requests, context):
    return b'%d' % sum(len(request) for request in requests)


def both(requests, context):
    for request in requests:
        yield request


def serve(address):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=128), options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {
        'Unary': grpc.unary_unary_rpc_method_handler(unary),
        'ServerStream': grpc.unary_stream_rpc_method_handler(server_stream),
        'ClientStream': grpc.stream_unary_rpc_method_handler(client_stream),
        'Both': grpc.stream_stream_rpc_method_handler(both),
    }),))
    if server.add_insecure_port(address) == 0:
        sys.exit('no port')
    server.start()
    print('ready', flush=True)
    server.wait_for_termination()


def channel(address):
    return grpc.insecure_channel(address, options=OPTIONS + [('grpc.enable_retries', 0)])


def method(address_channel, name, kind):
    return getattr(address_channel, kind)('/%s/%s' % (SERVICE, name))


CASES = []


def case(function):
    CASES.append(function)
    return function


@case
def unary_comes_back_with_metadata(to):
    answer, call = method(to, 'Unary', 'unary_unary').with_call(b'hello', timeout=5)
    assert answer == b'hello', answer
    assert ('x-initial', 'first') in [tuple(pair) for pair in call.initial_metadata()], call.initial_metadata()
    assert ('x-trailing', 'last') in [tuple(pair) for pair in call.trailing_metadata()], call.trailing_metadata()


@case
def empty_and_large_messages_come_back(to):
    call = method(to, 'Unary', 'unary_unary')
    for size in (0, 1, 16_383, 16_384, 65_535, 1_000_000, 8_000_000):
        message = bytes(size)
        assert call(message, timeout=10) == message, size


@case
def a_server_streams(to):
    got = list(method(to, 'ServerStream', 'unary_stream')(b'2000', timeout=10))
    assert got == [b'%d' % number for number in range(2000)], len(got)


@case
def a_client_streams(to):
    total = method(to, 'ClientStream', 'stream_unary')((b'x' * 1000 for _ in range(2000)), timeout=10)
    assert total == b'2000000', total


@case
def both_stream_in_turn(to):
    """Each message waits for the answer to the one before: nothing may be held back anywhere."""
    turn, queue = threading.Semaphore(0), [b'%d' % number for number in range(200)]

    def ask():
        for message in queue:
            yield message
            turn.acquire()

    got = []
    for answer in method(to, 'Both', 'stream_stream')(ask(), timeout=10):
        got.append(answer)
        turn.release()
    assert got == queue, len(got)


@case
def a_status_comes_with_its_message_and_trailers(to):
    for code in ('INVALID_ARGUMENT', 'NOT_FOUND', 'UNAVAILABLE', 'UNAUTHENTICATED', 'INTERNAL'):
        try:
            method(to, 'Unary', 'unary_unary')(b'', timeout=5, metadata=(('x-fail', code),))
            raise AssertionError('no error')
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode[code], error
            assert error.details() == 'as you wish: 100 % ünsinn', error.details()
            trailing = [tuple(pair) for pair in error.trailing_metadata()]
            assert ('x-why', 'asked') in trailing and ('x-data-bin', b'\0\1\2') in trailing, trailing


@case
def a_deadline_ends_a_call(to):
    begin = time.time()
    try:
        method(to, 'Unary', 'unary_unary')(b'', timeout=0.5, metadata=(('x-wait', '3'),))
        raise AssertionError('no error')
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert time.time() - begin < 1.5


@case
def an_unknown_method_is_said_by_the_server(to):
    try:
        method(to, 'Nothing', 'unary_unary')(b'', timeout=5)
        raise AssertionError('no error')
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error


@case
def a_cancelled_stream_harms_no_other(to):
    endless = method(to, 'ServerStream', 'unary_stream')(b'100000000', timeout=10)
    for _ in range(10):
        next(endless)
    endless.cancel()
    assert method(to, 'Unary', 'unary_unary')(b'after', timeout=5) == b'after'


@case
def a_hundred_calls_at_a_time(to):
    call = method(to, 'Unary', 'unary_unary')
    calls = [call.future(b'%d' % number, timeout=10) for number in range(100)]
    assert [answer.result() for answer in calls] == [b'%d' % number for number in range(100)]


def check(address):
    failed = 0
    for function in CASES:
        try:
            with channel(address) as to:
                function(to)
            print('ok  ', function.__name__)
        except Exception as error:  # every kind of failure is one to report
            failed += 1
            print('FAIL', function.__name__, repr(error)[:600])
    print('%d passed, %d failed' % (len(CASES) - failed, failed))
    sys.exit(failed != 0)


def refused(address, code):
    try:
        with channel(address) as to:
            method(to, 'Unary', 'unary_unary')(b'', timeout=5)
        sys.exit('no error')
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode[code]:
            sys.exit('not %s but %s' % (code, error))
    print('1 passed, 0 failed')


def hold(address, seconds):
    """Streams of several connections; each asks every 50 ms and is answered."""
    broken, rounds, lock = [], [0], threading.Lock()
    end = time.time() + seconds

    def talk(number):
        def ask():
            while time.time() < end:
                yield b'%d' % number
                time.sleep(0.05)

        try:
            with grpc.insecure_channel(address, options=OPTIONS + [('grpc.use_local_subchannel_pool', 1)]) as to:
                for answer in method(to, 'Both', 'stream_stream')(ask(), timeout=seconds + 20):
                    assert answer == b'%d' % number
                    with lock:
                        rounds[0] += 1
        except Exception as error:  # whatever ends a stream too early breaks it
            broken.append('%d: %r' % (number, error))

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    print('talking', flush=True)
    for thread in threads:
        thread.join()
    for text in broken:
        print('FAIL', text[:400])
    print('%d messages; %d of 32 streams broke' % (rounds[0], len(broken)))
    sys.exit(bool(broken) or rounds[0] < 32)


def calls(address, seconds):
    """A channel connects anew when its connection is closed in good order; a call that was begun must not be lost."""
    failed, done, lock = [], [0], threading.Lock()
    end = time.time() + seconds

    def ask(number):
        with grpc.insecure_channel(address, options=OPTIONS + [('grpc.use_local_subchannel_pool', 1)]) as to:
            call = method(to, 'Unary', 'unary_unary')
            while time.time() < end:
                try:
                    assert call(b'%d' % number, timeout=10) == b'%d' % number
                    with lock:
                        done[0] += 1
                except Exception as error:  # no call may fail, however
                    failed.append('%d: %r' % (number, error))
                time.sleep(0.005)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in failed[:20]:
        print('FAIL', text[:400])
    print('%d calls, %d failed' % (done[0], len(failed)))
    sys.exit(bool(failed) or done[0] < 4)


if __name__ == '__main__':
    word, address = sys.argv[1:3]
    if word == 'serve':
        serve(address)
    elif word == 'check':
        check(address)
    elif word == 'refused':
        refused(address, sys.argv[3])
    elif word == 'hold':
        hold(address, float(sys.argv[3]))
    elif word == 'calls':
        calls(address, float(sys.argv[3]))
    else:
        sys.exit(__doc__)
