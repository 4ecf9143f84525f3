/* misspelled - wrong members and values, each of which the compiler must refuse in every client.
 *
 * It is compiled, never run: a line that compiles is an error, "unused '@ts-expect-error' directive".
 */
import * as api from './client.js';

// @ts-expect-error a member of a function's input
api.runPrimes({ to: 1, form: 2 });
// @ts-expect-error an option of the task
api.runPrimes({ to: 1 }, { timeout: 1 });
// @ts-expect-error an executor
api.runPrimes({ to: 1 }, { executor: 'thread' });
// @ts-expect-error an option of another function
api.runSleep({ seconds: 1 }, { parallel: 2 });
// @ts-expect-error a member of write_file's input
api.runWriteFile({ path: 'a', data: 'b', atomically: true });
// @ts-expect-error a member that is required
api.runWriteFile({ path: 'a' });

// @ts-expect-error a function
api.runTask({ function: 'slep', input: { seconds: 1 } });
// @ts-expect-error the input of another function
api.runTask({ function: 'sleep', input: { to: 1 } });
// @ts-expect-error a member of the input
api.runTask({ function: 'primes', input: { to: 1, form: 2 } });
// @ts-expect-error an option
api.runTask({ function: 'primes', input: { to: 1 }, timeout: 1 });
// @ts-expect-error an option of another function
api.runTask({ function: 'sleep', input: { seconds: 1 }, parallel: 2 });
// @ts-expect-error an input of map
api.runTask({ function: 'map', input: { function: 'primes', inputs: [{ to: 1, form: 2 }] } });
// @ts-expect-error an option of map
api.runTask({ function: 'map', input: { function: 'primes', inputs: [{ to: 1 }], max_concurrent: 1 } });

// @ts-expect-error a member of gather
api.gather({ tasks: [], quorums: 1 });
// @ts-expect-error a mode
api.gather({ tasks: [], mode: 'al' });
// @ts-expect-error an option of a child
api.gather({ tasks: [{ function: 'sleep', input: { seconds: 1 }, timeout: 1 }] });
// @ts-expect-error a member of a child's input
api.gather({ tasks: [{ function: 'primes', input: { to: 1, form: 2 } }] });
// @ts-expect-error a member of a grandchild
api.gather({ tasks: [{ function: 'gather', input: { tasks: [{ function: 'sum', input: { n: 1 }, nme: 'x' }] } }] });

// @ts-expect-error a member of a step
api.fileScript({ path: 'a', ops: [{ op: 'read', len: 1 }] });
// @ts-expect-error a member of another step
api.fileScript({ path: 'a', ops: [{ op: 'tell', data: 'b' }] });
// @ts-expect-error a step without a required member
api.fileScript({ path: 'a', ops: [{ op: 'write' }] });
// @ts-expect-error a mode of files
api.openFile({ path: 'a', mode: 'rw' });

const { data: primes, error: problem } = await api.runPrimes({ to: 1 });
// @ts-expect-error a member of the task
primes?.durations;
// @ts-expect-error a member of the result
primes?.result.counts;
// @ts-expect-error another function
primes?.function === 'sum';
// @ts-expect-error a member of a problem
problem?.code;
// @ts-expect-error a type of problem
problem?.type === 'urn:gatherd:error:wrong';
// @ts-expect-error a type of problem of another operation
problem?.type === 'urn:gatherd:error:file_exists';

const { data: gathered } = await api.gather({ tasks: [] });
for (const child of gathered?.result.tasks ?? []) {
    // @ts-expect-error a function
    if (child.function === 'slep') continue;
    // @ts-expect-error a member of the result of another function
    if (child.function === 'sleep') child.result?.count;
}

const { data: script } = await api.fileScript({ path: 'a', ops: [] });
for (const step of script?.result.results ?? []) {
    // @ts-expect-error a member of the result of another step
    if (step.op === 'write') step.result.data;
}
