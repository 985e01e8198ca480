/* Calibration: the built-in text.  It has a little of everything that small models
 * are used for: talk, help, code, tables, numbers, and other languages. */
#include "engine/publish/calibration.h"

static const char *const lines[] = {
    "The pump in building four has run since March without a fault. Last night its "
    "pressure fell from 3.1 to 2.4 bar within ten minutes, and the alarm rang at "
    "02:17. The operator on duty closed the valve, waited until the motor had cooled "
    "down, and started the pump again at half speed.\n",
    "User: My printer shows a red light and prints nothing. What should I do first? "
    "Assistant: Please open the front cover and look for paper that is stuck. If you "
    "find some, pull it out slowly with both hands, close the cover, and press the "
    "green button.\n",
    "User: Does the guarantee cover a broken display? Assistant: Yes, for two years, "
    "unless the display was dropped. Send us a photo and the serial number, which is "
    "printed on the back.\n",
    "Water boils at 100 degrees Celsius at sea level. On a mountain of 3,000 metres "
    "it boils at about 90 degrees, because the pressure of the air is lower there. "
    "That is why pasta takes longer in the Alps than in Hamburg.\n",
    "def mean(values):\n",
    "    total = 0.0\n",
    "    for value in values:\n",
    "        total += value\n",
    "    return total / len(values) if values else None\n",
    "{\"device\": \"press-07\", \"state\": \"running\", \"temperature\": 61.5, "
    "\"alarms\": [], \"since\": \"2024-11-03T08:15:00Z\"}\n",
    "SELECT name, COUNT(*) AS orders FROM customers JOIN orders ON orders.customer = "
    "customers.id WHERE orders.day >= '2024-01-01' GROUP BY name ORDER BY orders "
    "DESC LIMIT 10;\n",
    "Dear Ms Okafor, thank you for your letter of 12 May. We have checked the "
    "invoice and found that the discount of 15 percent was missing. The new sum is "
    "1,284.50 euros. Please excuse the mistake. Kind regards, Martin Weiss\n",
    "Die Maschine wurde am Montag gereinigt und danach neu eingestellt. Seitdem gibt "
    "es kaum noch Ausschuss. Jede Abweichung wird sofort dem Schichtleiter gemeldet.\n",
    "La r\303\251union commence \303\240 neuf heures. Nous parlerons d'abord du "
    "budget, puis des nouvelles machines. Apportez les chiffres du mois dernier, "
    "s'il vous pla\303\256t.\n",
    "El tren sale de Madrid a las siete y llega a Valencia antes de las nueve. Los "
    "billetes se compran en la taquilla o por tel\303\251fono.\n",
    "The old man had fished alone for so many years that he talked to the birds. "
    "\"You again,\" he said to the gull on the mast, and broke his bread in two. The "
    "sea was grey and quiet, and far away a bell was ringing.\n",
    "What is the capital of Australia? The capital of Australia is Canberra, not "
    "Sydney, although Sydney is the largest city of the country.\n",
    "Which is larger, 17 times 6 or 10 squared? 17 times 6 is 102, and 10 squared is "
    "100. So 17 times 6 is larger by 2.\n",
    "If all roses are flowers and some flowers fade quickly, it does not follow that "
    "some roses fade quickly. The flowers that fade may be tulips.\n",
    "A cell takes up sugar and oxygen and turns them into energy, water and carbon "
    "dioxide. Plants do the reverse in sunlight: they take up carbon dioxide and "
    "water, and give off oxygen.\n",
    "1. Switch off the power. 2. Unscrew the four bolts of the lid. 3. Lift the "
    "filter out and rinse it under warm water. 4. Let it dry for an hour. 5. Put it "
    "back with the arrow pointing down.\n",
    "The treaty was signed in 1648 after five years of talks. It ended a war that "
    "had cost some regions half of their people, and it gave every prince the right "
    "to choose the faith of his land.\n",
    "for (size_t i = 0; i < count; i++) { if (items[i].price > limit) { printf(\"%s "
    "costs %.2f\\n\", items[i].name, items[i].price); } }\n",
    "<ul><li><a href=\"/help\">Help</a></li><li><a "
    "href=\"/contact\">Contact</a></li></ul>\n",
    "Severity: high. The backup of server db-2 failed three times in a row with the "
    "message \"disk full\". Free at least 40 GB, or move the archive to another "
    "volume, and start the job again.\n",
    "Summary: the customer wants to return two chairs. One has a scratch, the other "
    "is the wrong colour. She asks for a refund to her card, not for a voucher.\n",
    "Is this review positive or negative? \"The room was clean and the staff were "
    "kind, but the street was so loud that we did not sleep.\" The review is mixed, "
    "rather negative.\n",
    "In the second quarter the company sold 48,200 bicycles, 7.3 percent more than "
    "in the year before. Profit fell to 2.9 million, because steel became more "
    "expensive.\n",
    "Take three eggs, 200 grams of flour, half a litre of milk and a pinch of salt. "
    "Stir until there are no lumps, let the dough rest, and bake thin pancakes in "
    "butter.\n",
    "Run `git status` to see which files have changed. Then add them with `git add` "
    "and write a short message that says why, not only what.\n",
    "The patient is 54 years old and has had a dry cough for three weeks. There is "
    "no fever. The chest sounds clear on both sides. Blood pressure is 138 over 86.\n",
    "She walked along the river until the lamps went on. Somewhere a piano was "
    "playing, always the same eight bars, and each time the player stopped at the "
    "same wrong note.\n",
    "Translate into English: \"Guten Morgen, wie kann ich Ihnen helfen?\" Good "
    "morning, how can I help you?\n",
    "Error 0x80070057: the parameter is incorrect. File C:\\Data\\report_2023.xlsx, "
    "line 118, column 4.\n",
    "The Moon moves away from the Earth by about four centimetres each year. Its "
    "pull makes the tides, which slow the turning of the Earth, so a day grows "
    "longer by two thousandths of a second in a century.\n",
    "Opening hours: Monday to Friday 9 am to 6 pm, Saturday 10 am to 2 pm. Closed on "
    "Sundays and public holidays. Phone +44 20 7946 0018, mail office@example.org.\n",
    "Question: A train travels 180 kilometres in two and a half hours. How fast is "
    "it? Answer: 180 divided by 2.5 is 72, so the train travels at 72 kilometres per "
    "hour.\n",
    "The contract ends on 31 December unless one of the parties renews it in writing "
    "at least three months before. Disputes are decided by the court at the seat of "
    "the seller.\n",
    "x^2 - 5x + 6 = 0 has the roots 2 and 3, because (x - 2)(x - 3) = x^2 - 5x + 6. "
    "The sum of the roots is 5 and their product is 6.\n",
    "alpha,beta,gamma\n",
    "0.5,12,yes\n",
    "0.7,9,no\n",
    "1.1,15,yes\n",
    "Remember: check the oil, lock the gate, feed the cat, and call Anna before noon.\n",
};

int flo_calibration_text(struct flo_buf *out, struct flo_err *err)
{
    for (size_t i = 0; i < FLO_COUNT(lines); i++) {
        flo_buf_text(out, lines[i]);
    }
    return out->failed ? flo_fail(err, FLO_E_MEMORY, "the built-in text") : 0;
}
