import { fields, optionalText, text } from "./parse.js";
export const TopicStatus = { joined: 'joined', waiting: 'waiting', ended: 'ended' };
function joinConfig(cursor) {
    return {
        private: true,
        broadcast: { ack: false, self: false, ...(cursor === undefined ? {} : { replay: { after: cursor } }) },
        presence: { key: '', enabled: false },
        postgres_changes: [],
    };
}
/**
 * One private topic over a plain RealtimeClient. Each broadcast's cursor goes into the payload of the next join, so that a
 * re-join is sent what it missed; the listener reads the tables anew on every `joined`, so nothing rests on that.
 */
export class Topic {
    #client;
    #channel;
    #listener;
    #left = false;
    constructor(client, name, listener) {
        this.#client = client;
        this.#listener = listener;
        this.#channel = client.channel(name, { config: { private: true } });
        this.#channel.on('broadcast', { event: '*' }, (message) => {
            this.#hear(message);
        });
        this.#channel.on('system', {}, (message) => {
            this.#advance(message);
        });
    }
    /** Joins, with a token in place: a join without one would be refused and tried again a second later. */
    async join() {
        await this.#client.setAuth();
        if (this.#left)
            return;
        this.#channel.subscribe((status) => {
            if (this.#left)
                return;
            switch (status) {
                case 'SUBSCRIBED':
                    this.#listener.status(TopicStatus.joined);
                    break;
                case 'CLOSED':
                    this.#listener.status(TopicStatus.ended);
                    break;
                default:
                    this.#listener.status(TopicStatus.waiting);
            }
        });
    }
    async leave() {
        this.#left = true;
        await this.#client.removeChannel(this.#channel);
    }
    #hear(value) {
        const message = fields(value, 'broadcast');
        if (message['meta'] !== undefined)
            this.#advance(message['meta']);
        this.#listener.event({ event: text(message, 'event'), row: fields(message['payload'], 'row') });
    }
    /** Takes the cursor of a broadcast's meta, or of the message that says what a join recovered. */
    #advance(value) {
        const cursor = optionalText(fields(value, 'meta'), 'cursor');
        if (cursor !== null)
            this.#channel.updateJoinPayload({ config: joinConfig(cursor) });
    }
}
