#!/usr/bin/env python3
"""Random templates and what transformers' Jinja environment makes of them, over test/fixtures/templates/values.json:
    python3 bench/templates/random_templates.py SEED COUNT OUT.json && node dist/bench/templates-random.js OUT.json
Half of them are one expression, half nested statements (scopes, loops, macros, white space)."""
import copy
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "test/fixtures/templates"))
import make_semantics

ATOMS = ["none","true","false","0","1","-3","7","2.0","0.5","1e3","'abc'","''","'A b'","' x '","'é😀'","'1'","'2.5'","text","spaces","smile","nil","zero","one","minus","half","whole","big","list","words","mixed","nothing","dict","nested","people","html","quote","both","lines","keys","messages","tools","missing","[]","{}","()","[1,2]","(1,'a')","{'a':1,'b':none}","range(3)","messages[0]","messages[-1].content","people[0]","dict.items()","dict.keys()","'x'|safe","namespace(a=1)"]
FILTERS = ["upper","lower","title","capitalize","trim","string","length","first","last","list","sort","reverse","join","join(', ')","int","float","abs","round","round(1)","default('d')","default('d', true)","tojson","tojson(indent=2)","sum","max","min","unique","unique|list","map('string')|list","map('upper')|list","map(attribute='n')|list","select|list","reject|list","selectattr('a')|list","select('odd')|list","batch(2)|list","slice(2)|list","items|list","dictsort","replace('a','b')","e","safe","wordcount","center(9)","indent","truncate(5)","format(1)","count","string|length","groupby('a')|list|length","reverse|list","urlencode","striptags","attr('a')","filesizeformat","wordwrap(4)","xmlattr","pprint"]
TESTS = ["defined","undefined","none","string","number","integer","float","boolean","mapping","sequence","iterable","odd","even","true","false","lower","upper","callable","eq(1)","in([1,'a'])","sameas(none)","divisibleby(3)","gt(1)","lt('b')"]
METHODS = ["upper()","lower()","strip()","split()","split('b')","split(none, 1)","splitlines()","startswith('a')","endswith(('c','d'))","replace('b','x')","find('b')","count('a')","get('a')","get('zz', 3)","items()","keys()","values()","title()","index(1)","isdigit()","isalpha()","join(['p','q'])","format(1, a=2)","lstrip(' a')","rstrip('c ')","partition('b')","zfill(6)","capitalize()","copy()","removeprefix('a')","a","n","content","role","x.y","append","pop","isupper()","encode","swapcase()","ljust(5)","casefold()","rsplit('b', 1)","expandtabs()"]
OPS = ["+","-","*","/","//","%","**","~","==","!=","<",">","<=",">=","in","not in","and","or"]
SUBSCRIPTS = ["0", "-1", "1:", "::-1", ":2", "1", "5", "none", "true", "'a'", "'b'", "1:3", "-2:", "::2", "0.5"]
SHOWN = ["1","'x'","a","b","c","d","text","(loop.index if loop is defined)","(loop.first if loop is defined)","(loop.last if loop is defined)","a ~ '!'","c | default('u')","ns.v","m1(a)","m1()","[1,2]","a is defined","c is defined","loop is defined","ns.v ~ 1","(caller() if caller is defined else '_')","(varargs if varargs is defined else '_')","(kwargs if kwargs is defined else '_')","(loop.previtem if loop is defined)","(loop.nextitem if loop is defined)","(loop.length if loop is defined)","(loop.depth if loop is defined)"]
CONDITIONS = ["a", "c", "(loop.first if loop is defined)", "c is defined", "true", "false", "a == 'x'", "d is undefined", "b"]
NAMES = ["a", "b", "c", "d", "text"]
ITERABLES = ["[1,2,3]", "[]", "range(2)", "text", "'pq'", "b|select", "missing"]
SPACE = ["", " ", "\n", "  \n  ", "\n\n", "x", "x\n", " x"]
START = "{% set ns = namespace(v=0) %}{% macro m1(a) %}<{{ a }}{{ c }}>{% endmacro %}"


class Writer:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, *items):
        return self.random.choice(items)

    def expression(self, depth):
        pick, choice = self.pick, self.random.choice
        if depth <= 0:
            return choice(ATOMS)
        inner = lambda: self.operand(depth - 1)
        makers = [
            (27, lambda: f"{inner()}|{choice(FILTERS)}"),
            (10, lambda: f"{inner()} is {pick('', 'not ')}{choice(TESTS)}"),
            (20, lambda: f"{inner()}.{choice(METHODS)}"),
            (23, lambda: f"{inner()} {choice(OPS)} {inner()}"),
            (6, lambda: f"{inner()}[{choice(SUBSCRIPTS)}]"),
            (5, lambda: f"{inner()} if {inner()} else {inner()}"),
            (3, lambda: pick("not ", "-", "+") + inner()),
            (3, lambda: f"[{self.expression(depth - 1)}, {self.expression(depth - 1)}]"),
            (3, lambda: "{" + pick("1", "2.0", "'k'", "true", "none") + f": {self.expression(depth - 1)}" + "}"),
        ]
        return self.random.choices([make for _, make in makers], [weight for weight, _ in makers])[0]()

    def operand(self, depth):
        text = self.expression(depth)
        return f"({text})" if depth > 0 else text

    def tag(self, text):
        return "{%" + self.pick("", "-", "-", "+", "") + f" {text} " + self.pick("", "-", "", "-") + "%}"

    def output(self):
        return "{{" + self.pick("", "-", "") + f" {self.random.choice(SHOWN)} " + self.pick("", "-", "") + "}}"

    def body(self, depth, loop):
        return "".join(self.statement(depth - 1, loop) for _ in range(self.random.randint(1, 3))) if depth > 0 else self.output()

    def statement(self, depth, loop=False):
        pick, choice, tag, chance = self.pick, self.random.choice, self.tag, self.random.random
        body = lambda within=loop: self.body(depth, within)
        kind = chance() if depth > 0 else 0
        if kind < 0.30:
            return choice(SPACE) + self.output() + choice(SPACE)
        if kind < 0.45:
            return choice(SPACE) + tag(f"set {choice(NAMES)} = {choice(SHOWN)}") + choice(SPACE)
        if kind < 0.50:
            return tag(f"set ns.v = {choice(SHOWN)}")
        if kind < 0.55:
            return tag(f"set {choice(NAMES)}{pick('', ' | upper', ' | trim')}") + body() + tag("endset")
        if kind < 0.70:
            head = tag(f"for {pick('x', 'a', 'c')} in {choice(ITERABLES)}{pick('', '', ' if c is defined')}{pick('', '', '', ' recursive')}")
            return head + body(True) + (tag("else") + body() if chance() < 0.3 else "") + tag("endfor")
        if kind < 0.82:
            text = tag("if " + choice(CONDITIONS)) + body()
            if chance() < 0.3:
                text += tag("elif " + choice(CONDITIONS)) + body()
            return text + (tag("else") + body() if chance() < 0.4 else "") + tag("endif")
        if kind < 0.86:
            return tag(f"with {choice(NAMES)} = {choice(SHOWN)}") + body() + tag("endwith")
        if kind < 0.91:
            return tag(f"macro m1({pick('a', 'a, b=1', 'a=1, c=a')})") + body(False) + tag("endmacro")
        if kind < 0.94:
            return tag(f"call m1({pick('', 'a', '1')})") + body(False) + tag("endcall")
        if kind < 0.96:
            return tag("filter upper") + body() + tag("endfilter")
        if kind < 0.97:
            return tag("generation") + body(False) + tag("endgeneration")
        if kind < 0.98:
            return tag(f"block blk{self.random.randint(0, 99999)}{pick(' scoped', '')}") + body(False) + tag("endblock")
        return tag(pick("continue", "break")) if loop else "{# c #}" + choice(SPACE)

    def template(self):
        if self.random.random() < 0.5:
            return "{{ " + self.expression(self.random.choice([1, 1, 2, 2, 3])) + " }}"
        return START + "".join(self.statement(3) for _ in range(self.random.randint(1, 5)))


if __name__ == "__main__":
    seed, count, out = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    values = {**make_semantics.VALUES, "a": "A0", "b": [1, 2, 3]}
    writer, rows = Writer(seed), []
    while len(rows) < count:
        template = writer.template()
        # Some filters of Jinja2 change lists that they are given.
        make_semantics.VALUES = copy.deepcopy(values)
        text = make_semantics.rendered(template)
        # An address is another each time.
        if text is None or " at 0x" not in text:
            rows.append([template, text])
    out.write_text(json.dumps(rows))
    print(len(rows), "templates,", sum(text is None for _, text in rows), "of which fail")
