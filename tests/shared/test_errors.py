import unittest

from ota import errors


class TestErrors(unittest.TestCase):
    def test_every_code_is_unique_and_finds_its_word(self):
        seen = {}
        for entry in errors._CODES.split():
            word, number = entry.split(":")
            self.assertFalse(number in seen or word in seen.values(), entry)
            seen[number] = word
            self.assertEqual(errors.code(word), int(number))
            self.assertEqual(errors.word(int(number)), word)

    def test_unknown_words_and_codes_are_nothing(self):
        self.assertEqual(errors.code("nonsense"), 0)
        self.assertEqual(errors.code(""), 0)
        self.assertEqual(errors.word(0), "")
        self.assertEqual(errors.word(9999), "")

    def test_an_error_carries_word_and_code(self):
        e = errors.PolicyError("fit", 10, 20)
        self.assertEqual((e.reason, e.code), ("fit", 62))
        self.assertIsInstance(e, errors.RejectError)
