/* calls - sixteen calls to the service at GATHERD_URL through a generated client.
 *
 * Compiling it is half of the test: results, children, steps and problems have their types without a cast.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as api from './client.js';

/* The body of a successful answer. */
function ok<T>({ data, error }: { data?: T; error?: unknown }): NonNullable<T> {
    assert.ok(data, JSON.stringify(error));
    return data;
}

/* The problem of an answer that is an error. */
function failed<E>({ data, error }: { data?: unknown; error?: E }): NonNullable<E> {
    assert.ok(error, JSON.stringify(data));
    return error;
}

test('gather: children are narrowed by function', async () => {
    const task = ok(await api.gather({
        mode: 'all_settled',
        tasks: [
            { function: 'sleep', input: { seconds: 0.01 }, name: 'nap' },
            { function: 'primes', input: { to: 100 }, executor: 'threads', pool: 'default' },
            { function: 'gather', input: { mode: 'any', tasks: [{ function: 'sum', input: { n: 5 } }] } },
            { function: 'map', input: { function: 'sum', inputs: [{ n: 5 }, { n: 6 }] } },
        ],
    }));
    let found = '';
    for (const child of task.result.tasks) {
        switch (child.function) {
        case 'sleep':
            found += child.result?.slept_seconds === undefined ? '' : child.name;
            break;
        case 'primes':
            found += ` ${child.result?.count.toFixed()}`;
            break;
        case 'gather':
        case 'map':
            for (const { function: name, result } of child.result?.tasks ?? [])
                found += name === 'sum' ? ` ${result?.sum}` : '';
            break;
        default:
            assert.fail(child.error?.detail ?? child.function);
        }
    }
    assert.equal(found, 'nap 25 10 10 15');
});

test('sleep on the loop', async () => {
    const task = ok(await api.runSleep({ seconds: 0.01 }, { name: 'nap', timeout_seconds: 5 }));
    assert.ok(task.result.slept_seconds >= 0.01);
    assert.equal(`${task.function} ${task.name} ${task.executor} ${task.pool}`, 'sleep nap loop null');
});

test('block in a thread', async () => {
    const task = ok(await api.runBlock({ seconds: 0.01 }, { executor: 'threads', pool: 'default' }));
    assert.ok(task.result.blocked_seconds >= 0.01);
    assert.ok(task.usage && task.usage.user_seconds >= 0);
});

test('primes in two processes', async () => {
    const { result } = ok(await api.runPrimes({ to: 100_000 }, { executor: 'processes', parallel: 2 }));
    const parts = (result.parts ?? []).map((part) => (part.function === 'primes' && part.result?.count) || NaN);
    assert.equal(parts.length, 2);
    assert.equal(result.count, parts.reduce((sum, count) => sum + count));
});

test('sum in a thread: a task of any function is narrowed by function', async () => {
    const task = ok(await api.runTask({ function: 'sum', input: { n: 5000 }, executor: 'threads' }));
    assert.equal(task.function === 'sum' ? task.result.sum : undefined, 12497500);
    assert.equal(task.executor, 'threads');
});

test('write_file', async () => {
    const task = ok(await api.runWriteFile({ path: 'data.txt', data: 'aio file', atomic: true }));
    assert.equal(task.result.written_bytes, 8);
    assert.equal(task.executor, 'files');
});

test('read_file', async () => {
    const { result } = ok(await api.runReadFile({ path: 'data.txt', offset: 4 }));
    assert.equal(result.data, 'file');
    assert.equal(result.eof, true);
});

test('an open file is written and closed', async () => {
    const file = ok(await api.openFile({ path: 'open.txt', mode: 'w', lease_seconds: 10 }));
    assert.equal(ok(await api.fileWrite(file.id, { data: 'aio file' })).result.position, 8);
    assert.equal(ok(await api.closeFile(file.id)).function, 'close');
});

test('file script: results are narrowed by op', async () => {
    const { result } = ok(await api.fileScript({
        path: 'script.txt',
        mode: 'w+',
        ops: [{ op: 'write', data: 'aio file' }, { op: 'seek', offset: 4 }, { op: 'read', length: 2 }, { op: 'stat' }],
    }));
    let found = '';
    for (const step of result.results) {
        switch (step.op) {
        case 'write':
            found += `${step.result.written_bytes.toFixed()} `;
            break;
        case 'seek':
            found += `${step.result.position.toFixed()} `;
            break;
        case 'read':
            found += `${step.result.data.toUpperCase()} `;
            break;
        case 'stat':
            found += step.result.size_bytes.toFixed();
        }
    }
    assert.equal(found, '8 4 FI 8');
});

test('bytes of a file, uploaded and downloaded', async () => {
    const bytes = new Uint8Array([0, 255, 10, 128]);
    const stored = ok(await api.upload('bytes.bin', new Blob([bytes])));
    assert.deepEqual({ ...stored }, { path: 'bytes.bin', size_bytes: 4, created: true });
    const blob: Blob = ok(await api.download('bytes.bin'));
    assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), bytes);
});

test('functions', async () => {
    const { functions } = ok(await api.listFunctions());
    const primes = functions.find(({ name }) => name === 'primes');
    assert.equal(primes?.parallelizable, true);
});

test('pools', async () => {
    const { pools } = ok(await api.listPools());
    assert.ok(pools.some((pool) => pool.executor === 'processes' && pool.size === 2));
});

test('limits', async () => {
    assert.ok(ok(await api.getLimits()).max_tasks > 0);
});

test('422: an invalid request has errors', async () => {
    const problem = failed(await api.runSleep({ seconds: -1 }));
    assert.ok(problem.type === 'urn:gatherd:error:invalid' && problem.status === 422);
    const issue = problem.errors?.[0];
    assert.equal(issue && 'pointer' in issue ? issue.pointer : undefined, '/seconds');
});

test('404: an unknown function', async () => {
    const problem = failed(await api.getFunction('slep'));
    assert.ok(problem.type === 'urn:gatherd:error:function_not_found' && problem.status === 404);
});

test('504: a task that timed out is in the problem', async () => {
    const problem = failed(await api.runSleep({ seconds: 60 }, { timeout_seconds: 0.01 }));
    assert.ok(problem.type === 'urn:gatherd:error:timeout' && problem.status === 504);
    const task = problem.task;
    assert.equal(`${task?.function} ${task?.state} ${task?.error.code}`, 'sleep failed timeout');
});
