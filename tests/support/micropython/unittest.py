"""The subset of unittest that the shared tests use, for MicroPython (which ships none)."""

import sys


class SkipTest(Exception):
    pass


class _Raises:
    def __init__(self, expected):
        self.expected = expected
        self.exception = None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.exception = value
        if kind is None:
            raise AssertionError("%r not raised" % self.expected)
        return issubclass(kind, self.expected)


class _SubTest:
    def __init__(self, params):
        self.params = params

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        if kind is not None:
            print("in subTest", self.params)
        return False


class TestCase:
    def setUp(self):
        pass

    def tearDown(self):
        pass

    def fail(self, msg=""):
        raise AssertionError(msg)

    def skipTest(self, reason):
        raise SkipTest(reason)

    def subTest(self, *args, **params):
        return _SubTest(args or params)

    def assertEqual(self, a, b, msg=""):
        if not a == b:
            raise AssertionError("%r != %r %s" % (a, b, msg))

    def assertNotEqual(self, a, b, msg=""):
        if a == b:
            raise AssertionError("%r == %r %s" % (a, b, msg))

    def assertTrue(self, a, msg=""):
        if not a:
            raise AssertionError("%r is not true %s" % (a, msg))

    def assertFalse(self, a, msg=""):
        if a:
            raise AssertionError("%r is not false %s" % (a, msg))

    def assertIs(self, a, b, msg=""):
        if a is not b:
            raise AssertionError("%r is not %r %s" % (a, b, msg))

    def assertIsNone(self, a, msg=""):
        self.assertIs(a, None, msg)

    def assertIsNotNone(self, a, msg=""):
        if a is None:
            raise AssertionError("is None %s" % msg)

    def assertIn(self, a, b, msg=""):
        if a not in b:
            raise AssertionError("%r not in %r %s" % (a, b, msg))

    def assertLessEqual(self, a, b, msg=""):
        if not a <= b:
            raise AssertionError("%r > %r %s" % (a, b, msg))

    def assertGreaterEqual(self, a, b, msg=""):
        if not a >= b:
            raise AssertionError("%r < %r %s" % (a, b, msg))

    def assertIsInstance(self, a, kind, msg=""):
        if not isinstance(a, kind):
            raise AssertionError("%r is no %r %s" % (a, kind, msg))

    def assertRaises(self, expected, func=None, *args, **kwargs):
        context = _Raises(expected)
        if func is None:
            return context
        with context:
            func(*args, **kwargs)


def run_module(module):
    """Run every test of module; return (run, failed, skipped)."""
    run = failed = skipped = 0
    for name in sorted(dir(module)):
        case = getattr(module, name)
        if not (isinstance(case, type) and issubclass(case, TestCase)) or case is TestCase:
            continue
        for method in sorted(dir(case)):
            if not method.startswith("test"):
                continue
            test = case()
            run += 1
            try:
                test.setUp()
                try:
                    getattr(test, method)()
                finally:
                    test.tearDown()
            except SkipTest as e:
                run -= 1
                skipped += 1
                print("skipped %s.%s: %s" % (name, method, e))
            except Exception as e:
                failed += 1
                print("FAILED %s.%s" % (name, method))
                sys.print_exception(e)
    return run, failed, skipped
