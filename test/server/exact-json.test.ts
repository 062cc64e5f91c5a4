import t from 'tap'
import { exactField, keepText, parseExactly } from '../../server/exact-json.ts'

t.test('what JSON.parse would lose is kept', async (t) => {
  t.same(parseExactly('{"a":[1,0.5,"1.0",true,null,{}],"b":"\\u00e9\\n"}'), { a: [1, 0.5, '1.0', true, null, {}], b: 'é\n' })
  const [whole, power, large, minus, half] = parseExactly(' [ 1.0 , 1e3, 12345678901234567890, -0, 2.5 ] ') as unknown[]
  t.ok(whole instanceof Number && power instanceof Number, 'floats without a fraction')
  t.equal(Number(power), 1000)
  t.equal(large, 12345678901234567890n)
  t.equal(minus, 0n, 'an integer has no sign at zero')
  t.equal(half, 2.5)
  const ordered = parseExactly('{"b":{"10":1.0,"9":2},"a":1}') as { b: Map<string, unknown> }
  t.same([...ordered.b.keys()], ['10', '9'])
  t.same(parseExactly('{"a":1,"a":2.0,"__proto__":{}}'), { a: Object(2), ['__proto__']: {} })
  t.same(parseExactly('[[],{},[1.0]]'), [[], {}, [Object(1)]])
})

t.test('what is no JSON is refused', async (t) => {
  for (const wrong of [
    '',
    '{',
    '[1.0',
    '{"a":1.0,}',
    '1.0.0',
    "{'a':1.0}",
    '[1.0]x',
    `${'['.repeat(3000)}1.0${']'.repeat(3000)}`,
  ])
    t.throws(() => parseExactly(wrong), SyntaxError, wrong.slice(0, 20))
})

t.test('a body is read a second time only where there is something to lose', async (t) => {
  const read = (text: string) => {
    const body = JSON.parse(text)
    keepText(text, body)
    return exactField(body, 'x')
  }
  t.equal(read('{"x":1}'), 1)
  t.ok(read('{"x":1.0}') instanceof Number)
  t.equal(read('{"y":1.0}'), undefined)
  t.equal(read(`{"x":1.0,"y":"${'a'.repeat(1 << 18)}"}`), 1, 'of large ones JSON.parse serves')
})
