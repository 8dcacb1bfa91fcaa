from answer import ANSWER

print("answer", ANSWER)
